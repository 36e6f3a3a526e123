"""Exports of annotation tools, each recognized by its files and read as it is.

A format is one file here with ``NAME``, ``TITLE``, ``SPECIFIC``, ``recognize(root)`` and ``read(root, split)``; nothing
lists it (docs/extending.md has an example). What a reader says, and what it says it with:

how it is recognized   ``FormatFiles`` in files_of_export.py: patterns, first words, what to say if there are none
where images lie       ``ImageFiles`` in image_files.py: by name, path of another machine, or address
objects of an image    ``Annotations`` and ``Shape`` in annotations.py; its outlines: object_shapes.py
classes                declared ones to ``Annotations.export``; of label maps ``map_labels`` in entries.py
label maps of images   ``Entry`` and ``MapExport`` in entries.py; pairs of files: folder_pairs.py
damaged files          nothing: readers of JSON, CSV and XML, and ``parse``, name the file and the row
splits                 ``split`` only where the tool states it: folders and names of files do for all (splits.py)

One image, from its annotation to the class map: ``OwnData`` finds the reader (recognition.py); the reader adds shapes
to ``Annotations``; these become an ``Entry`` (entries.py) with rows as in COCO files, in a split (splits.py); when the
image is read, ``ObjectClassMaps`` (object_truth.py) draws each row (object_shapes.py) into the map.

What all formats share:

annotations.py      images with their objects, collected file by file: groups, classes, warnings
entries.py          the images of an export with their objects or label maps, as datasets
files_of_export.py  which files show a format; JSON, XML, CSV and text; rows and colors
image_files.py      image files, found by the names that tools write
object_shapes.py    the outlines and masks that tools write, as COCO run lengths
object_truth.py     objects as ground truth: instances, or a class map with background
splits.py           which images belong to a split: stated, by folders, listed, or a held-out share
recognition.py      which tool wrote a folder
folder_pairs.py     which folders hold images, and which their masks
class_tables.py     tables of names and colors of classes
parquet.py          the images in Parquet files
embedded_images.py  images inside of annotation files, unpacked

Objects:

coco.py             COCO instances, as Roboflow, CVAT, Label Studio and Datumaro write them
cvat.py             CVAT for images (XML)
yolo.py             YOLO polygons, as Ultralytics and Roboflow write them
labelme.py          labelme JSON
label_studio.py     Label Studio JSON: polygons, brushes and bitmasks
supervisely.py      Supervisely: bitmaps and polygons
datumaro.py         Datumaro's own JSON
darwin.py           V7 Darwin JSON
labelbox.py         Labelbox NDJSON
segments_ai.py      Segments.ai release files
superannotate.py    SuperAnnotate JSON, vector and pixel projects
via.py              VGG Image Annotator: JSON and CSV
via3.py             its projects of version 3
kaggle_rle.py       CSV files with run lengths, as competitions on Kaggle use them
object_masks.py     a folder per image with a mask per object

Label maps:

coco_panoptic.py    COCO panoptic
voc.py              Pascal VOC and the "Segmentation mask" of CVAT
sagemaker.py        SageMaker Ground Truth manifests
roboflow_masks.py   Roboflow "Semantic Segmentation Masks"
object_numbers.py   maps of object numbers of one class, as of StarDist and Cellpose
stuffthingmaps.py   the maps of COCO-Stuff
hugging_face.py     Hugging Face image folders and Parquet files
mask_folders.py     folders of images and of index, color or binary masks
"""

from __future__ import annotations

from segwright.data.exports.annotations import Annotations as Annotations
from segwright.data.exports.annotations import Shape as Shape
from segwright.data.exports.entries import Entry as Entry
from segwright.data.exports.entries import MapExport as MapExport
from segwright.data.exports.entries import ObjectExport as ObjectExport
from segwright.data.exports.entries import map_labels as map_labels
from segwright.data.exports.files_of_export import FormatFiles as FormatFiles
from segwright.data.exports.object_shapes import polygon as polygon
from segwright.data.exports.recognition import ExportFormat as ExportFormat
from segwright.data.exports.recognition import Recognized as Recognized
from segwright.data.exports.recognition import export_format as export_format
from segwright.data.exports.recognition import export_root as export_root
from segwright.data.exports.recognition import format_names as format_names
from segwright.data.exports.recognition import recognize as recognize

__all__ = [
    "Annotations",
    "Entry",
    "ExportFormat",
    "FormatFiles",
    "MapExport",
    "ObjectExport",
    "Recognized",
    "Shape",
    "export_format",
    "format_names",
    "map_labels",
    "polygon",
    "recognize",
]
