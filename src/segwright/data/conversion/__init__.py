"""Conversion of annotations: what ``data convert`` writes. The readers of exports are in ``data/exports``.

Sources:

from_exports.py       any export that is read, to maps or to the files of another tool
image_folder.py       any dataset as a folder of images and label maps
tar.py                any dataset as tar shards
coco.py               COCO files to label maps; Cityscapes to COCO panoptic
labelme.py            labelme polygons to maps of classes and instances
color_maps.py         color-coded maps to maps of class values

What they write:

annotation_tools.py   files of annotation tools: YOLO, labelme, CVAT, Label Studio
annotation_files.py   objects with masks, and COCO files of them
outlines.py           masks as polygons
results.py            the result of a conversion, label maps, names of maps
"""

from __future__ import annotations

from segwright.data.conversion.coco import convert_cityscapes as convert_cityscapes
from segwright.data.conversion.coco import convert_coco as convert_coco
from segwright.data.conversion.coco import convert_coco_train_ids as convert_coco_train_ids
from segwright.data.conversion.color_maps import convert_rgb as convert_rgb
from segwright.data.conversion.from_exports import convert_export as convert_export
from segwright.data.conversion.image_folder import convert_to_folder as convert_to_folder
from segwright.data.conversion.labelme import convert_labelme as convert_labelme
from segwright.data.conversion.results import ConversionResult as ConversionResult
from segwright.data.conversion.results import label_map_text as label_map_text
from segwright.data.conversion.results import unique_stem as unique_stem

__all__ = [
    "ConversionResult",
    "convert_cityscapes",
    "convert_coco",
    "convert_coco_train_ids",
    "convert_export",
    "convert_labelme",
    "convert_rgb",
    "convert_to_folder",
    "label_map_text",
    "unique_stem",
]
