"""CVAT for images: XML with polygons, run-length masks and ellipses; boxes, polylines and points have no outline.

Shapes of one label and group are one object, as in the COCO files that CVAT writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from segwright.data.exports.annotations import Annotations, Shape
from segwright.data.exports.entries import ObjectExport
from segwright.data.exports.files_of_export import Color, FormatFiles, color_from_hex, read_xml, starts_with
from segwright.data.exports.object_shapes import ellipse, polygon
from segwright.data.exports.splits import standard_split
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "cvat", "CVAT for images", True
_TOOL = "CVAT"
_FILES = FormatFiles(
    ("**/*.xml",),
    accept=lambda path: starts_with(path, "<annotations") and not starts_with(path, "<annotation>"),
    shows="has the annotations of CVAT",
    missing="no XML file of CVAT; expected annotations.xml",
)
recognize = _FILES.evidence
_WITHOUT_AREA = ("box", "polyline", "points", "cuboid", "skeleton", "tag")


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of all XML files (one per task)."""
    files = _FILES.require(root)
    trees = [(path, read_xml(path, _TOOL)) for path in files]
    annotations = Annotations(root, _TOOL)
    for path, tree in trees:
        if tree.find(".//track") is not None:
            raise UserError(
                f"{path}: has tracks (CVAT for video); expected images; export the task as 'CVAT for images 1.1'"
            )
        for image in tree.findall("image"):
            _read(image, path, annotations)
    if not annotations.annotated:
        raise UserError(f"{files[0]}: has no <image>; expected the images of the task; export it again")
    classes = _classes([tree for _, tree in trees])
    return annotations.export(list(classes), "<labels>", colors=classes)


def _classes(trees: list[ElementTree.Element]) -> dict[str, Color | None]:
    """Name -> color of the labels; without a list of them those of all shapes, sorted."""
    labels = [label for tree in trees for label in tree.findall("./meta//labels/label")]
    classes: dict[str, Color | None] = {}
    for label in labels:
        if label.findtext("parent") in (None, ""):
            classes.setdefault(str(label.findtext("name")), color_from_hex(label.findtext("color")))
    used = {str(shape.get("label")) for tree in trees for shape in tree.findall("./image/*")}
    return classes or dict.fromkeys(sorted(used))


def _read(image: ElementTree.Element, path: Path, annotations: Annotations) -> None:
    name, subset = str(image.get("name")), image.get("subset")
    folders = (path.parent / "images" / (subset or ""), path.parent / "images", path.parent)
    near = next(folder for folder in folders if folder.is_dir())
    annotated = annotations.add(
        annotations.images.require(name, f"{path}: image {image.get('id')}", near),
        path,
        size=annotations.parse(image, _size, f"{path}: image {name}"),
        split=standard_split(subset),
    )
    for number, shape in enumerate(image):
        annotated.read(shape, f"image {name!r}, {shape.tag} {number}", _shape)


def _size(image: ElementTree.Element) -> tuple[int, int] | None:
    height, width = image.get("height"), image.get("width")
    return (int(height), int(width)) if height and width else None


def _shape(shape: ElementTree.Element) -> Shape:
    label = str(shape.get("label"))
    if shape.tag in _WITHOUT_AREA:
        return Shape(label, kind=shape.tag)

    def number(name: str) -> float:
        return float(shape.attrib[name])

    outline: dict[str, Any]
    if shape.tag == "mask":
        runs = [int(value) for value in shape.attrib["rle"].split(",")]
        outline = {"runs": runs, "box": [int(number(side)) for side in ("left", "top", "width", "height")]}
    elif shape.tag == "ellipse":
        center, radii = (number("cx"), number("cy")), (number("rx"), number("ry"))
        outline = {"polygons": [ellipse(center, radii, float(shape.get("rotation") or 0))]}
    elif shape.tag == "polygon":
        outline = {"polygons": [polygon(point.split(",") for point in shape.attrib["points"].split(";"))]}
    else:
        raise ValueError(f"unknown shape <{shape.tag}>")
    group = shape.get("group_id")
    return Shape(label, outline, shape.tag, None if group == "0" else group, int(shape.get("z_order") or 0))
