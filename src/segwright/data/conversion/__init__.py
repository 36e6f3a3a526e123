"""Conversion of annotations: any format to label maps, and to the files of other tools.

exports.py            an export of any tool to maps, or to the layout of another tool
annotation_files.py   objects with masks, and COCO files of them
annotation_tools.py   files of annotation tools: YOLO, labelme, CVAT, Label Studio
outlines.py           masks as polygons
labelme_rgb.py        labelme polygons and RGB color masks to label maps
coco.py               COCO files to label maps; Cityscapes to COCO panoptic
image_folder.py       any dataset as a folder of images and label maps
tar.py                any dataset as tar shards
"""

from __future__ import annotations

from segwright.data.conversion.coco import convert_cityscapes as convert_cityscapes
from segwright.data.conversion.coco import convert_coco as convert_coco
from segwright.data.conversion.coco import convert_coco_train_ids as convert_coco_train_ids
from segwright.data.conversion.exports import convert_export as convert_export
from segwright.data.conversion.image_folder import convert_to_folder as convert_to_folder
from segwright.data.conversion.labelme_rgb import ConversionResult as ConversionResult
from segwright.data.conversion.labelme_rgb import convert_labelme as convert_labelme
from segwright.data.conversion.labelme_rgb import convert_rgb as convert_rgb
from segwright.data.conversion.labelme_rgb import label_map_text as label_map_text
from segwright.data.conversion.labelme_rgb import unique_stem as unique_stem

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
