"""Exports of annotation tools, each recognized by its files and read as it is.

entries.py          the images of an export with their objects or label maps, as datasets
object_shapes.py    the outlines and masks that tools write, as COCO run lengths
object_truth.py     objects as ground truth: instances, or a class map with background
files_of_export.py  JSON, text and image files of an export
splits.py           which images belong to a split: declared, listed, or a held-out share
recognition.py      which tool wrote a folder

One file per format, each with ``NAME``, ``TITLE``, ``recognize(root)`` and ``read(root, split)``:

coco.py             COCO instances, as Roboflow, CVAT, Label Studio and Datumaro write them
coco_panoptic.py    COCO panoptic
cvat.py             CVAT for images (XML)
voc.py              Pascal VOC and the "Segmentation mask" of CVAT
yolo.py             YOLO polygons, as Ultralytics and Roboflow write them
labelme.py          labelme JSON
label_studio.py     Label Studio JSON: polygons and brushes
supervisely.py      Supervisely: bitmaps and polygons
datumaro.py         Datumaro's own JSON
darwin.py           V7 Darwin JSON
labelbox.py         Labelbox NDJSON
segments_ai.py      Segments.ai release files
sagemaker.py        SageMaker Ground Truth manifests
superannotate.py    SuperAnnotate JSON
via.py              VGG Image Annotator: JSON and CSV
via3.py             its projects of version 3
roboflow_masks.py   Roboflow "Semantic Segmentation Masks"
kaggle_rle.py       CSV files with run lengths, as competitions on Kaggle use them
object_masks.py     a folder per image with a mask per object
object_numbers.py   maps of object numbers of one class, as of StarDist and Cellpose
stuffthingmaps.py   the maps of COCO-Stuff
hugging_face.py     Hugging Face image folders and Parquet files
mask_folders.py     folders of images and of index, color or binary masks
folder_pairs.py     which folders these are
class_tables.py     their classes: tables of names and colors
parquet.py          the images in Parquet files
embedded_images.py  images inside of annotation files, unpacked
"""

from __future__ import annotations

from segwright.data.exports.recognition import ExportFormat as ExportFormat
from segwright.data.exports.recognition import Recognized as Recognized
from segwright.data.exports.recognition import export_format as export_format
from segwright.data.exports.recognition import export_root as export_root
from segwright.data.exports.recognition import format_names as format_names
from segwright.data.exports.recognition import recognize as recognize

__all__ = ["ExportFormat", "Recognized", "export_format", "format_names", "recognize"]
