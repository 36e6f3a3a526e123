"""Ground truth as datasets and annotation tools store it, and the datasets that read it.

file_dataset.py        FileDataset, the base class of datasets in files; reads class files
image_dataset.py       ImageDataset: images with their ground truth, an opened split
cache.py               decoded samples in memory or on disk
ground_truth.py        GroundTruth, the protocol of a ground truth format; class, instance and panoptic maps
coco_masks.py          CocoInstanceMasks, outlines and run lengths of objects
overlaps.py            objects that overlap, in one map
instance_encoding.py   how a pixel value encodes class and instance
folder_layout.py       folders of images and label maps: which files make a split
class_definitions.py   the label space that a class file defines
class_files.py         classes.yaml, classes.json, labels.txt
coco.py                COCO instances and panoptic: JSON files and their splits
coco_rows.py           the rows of these files: images, annotations, categories, segments
panoptic_json.py       the segments of COCO panoptic files
sequence_maps.py       the maps of KITTI-STEP and Cityscapes-DVPS, read and written for scores of sequences
"""

from __future__ import annotations

from segwright.data.formats.cache import SampleCache as SampleCache
from segwright.data.formats.cache import sample_key as sample_key
from segwright.data.formats.class_files import read_label_space as read_label_space
from segwright.data.formats.coco import CocoAnnotations as CocoAnnotations
from segwright.data.formats.coco import SplitPaths as SplitPaths
from segwright.data.formats.coco import annotations_by_image as annotations_by_image
from segwright.data.formats.coco import open_instances as open_instances
from segwright.data.formats.coco import open_panoptic as open_panoptic
from segwright.data.formats.coco import open_unlabeled_images as open_unlabeled_images
from segwright.data.formats.coco import split_path as split_path
from segwright.data.formats.coco_masks import CocoInstanceMasks as CocoInstanceMasks
from segwright.data.formats.coco_masks import annotation_to_mask as annotation_to_mask
from segwright.data.formats.coco_rows import annotation_record as annotation_record
from segwright.data.formats.coco_rows import parse_segments as parse_segments
from segwright.data.formats.file_dataset import FileDataset as FileDataset
from segwright.data.formats.file_dataset import apply_label_map as apply_label_map
from segwright.data.formats.file_dataset import read_label_map as read_label_map
from segwright.data.formats.folder_layout import FolderLayout as FolderLayout
from segwright.data.formats.ground_truth import ClassAndInstanceMaps as ClassAndInstanceMaps
from segwright.data.formats.ground_truth import ClassMaps as ClassMaps
from segwright.data.formats.ground_truth import CocoPanopticMaps as CocoPanopticMaps
from segwright.data.formats.ground_truth import EncodedInstanceMaps as EncodedInstanceMaps
from segwright.data.formats.ground_truth import GroundTruth as GroundTruth
from segwright.data.formats.ground_truth import SegmentTable as SegmentTable
from segwright.data.formats.ground_truth import segments_from_ids as segments_from_ids
from segwright.data.formats.image_dataset import ImageDataset as ImageDataset
from segwright.data.formats.instance_encoding import BitmaskEncoding as BitmaskEncoding
from segwright.data.formats.instance_encoding import ClassInRed as ClassInRed
from segwright.data.formats.instance_encoding import ClassTimesDivisor as ClassTimesDivisor
from segwright.data.formats.instance_encoding import InstanceEncoding as InstanceEncoding
from segwright.data.formats.instance_encoding import InstancesOnly as InstancesOnly
from segwright.data.formats.panoptic_json import read_panoptic_json as read_panoptic_json

__all__ = [
    "BitmaskEncoding",
    "ClassAndInstanceMaps",
    "ClassInRed",
    "ClassMaps",
    "ClassTimesDivisor",
    "CocoAnnotations",
    "CocoInstanceMasks",
    "CocoPanopticMaps",
    "EncodedInstanceMaps",
    "FileDataset",
    "FolderLayout",
    "GroundTruth",
    "ImageDataset",
    "InstanceEncoding",
    "InstancesOnly",
    "SampleCache",
    "SegmentTable",
    "SplitPaths",
    "annotation_record",
    "annotation_to_mask",
    "annotations_by_image",
    "apply_label_map",
    "open_instances",
    "open_panoptic",
    "open_unlabeled_images",
    "parse_segments",
    "read_label_map",
    "read_label_space",
    "read_panoptic_json",
    "sample_key",
    "segments_from_ids",
    "split_path",
]
