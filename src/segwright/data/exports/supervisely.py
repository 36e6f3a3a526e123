"""Supervisely: meta.json and a JSON file per image with bitmaps, polygons with holes, and rectangles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segwright.data.exports.annotations import Annotations, Shape
from segwright.data.exports.entries import ObjectExport
from segwright.data.exports.files_of_export import Color, FormatFiles, color_from_hex
from segwright.data.exports.object_shapes import box, flat, polygon
from segwright.data.exports.splits import standard_split

NAME, TITLE, SPECIFIC = "supervisely", "Supervisely", True
_META = FormatFiles(
    ("meta.json", "*/meta.json"),
    shows="beside folders ann of JSON files",
    missing="no meta.json; expected a project of Supervisely",
)
_FILES = FormatFiles(("**/ann/*.json", "**/ann/**/*.json"))


def recognize(root: Path) -> str | None:
    """meta.json, and folders ann of JSON files."""
    return _META.evidence(root) if _FILES.find(root) else None


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of all datasets of the project; a dataset called train or val is a split."""
    meta, annotations = _META.require(root)[0], Annotations(root, TITLE)
    classes = annotations.parse(annotations.read_json(meta), _classes, meta)
    for path in _FILES.find(root):
        _read(path, annotations)
    return annotations.export(list(classes), "meta.json", colors=classes)


def _classes(meta: dict[str, Any]) -> dict[str, Color | None]:
    return {str(row["title"]): color_from_hex(row.get("color")) for row in meta["classes"]}


def _read(path: Path, annotations: Annotations) -> None:
    size, tags, items = annotations.parse(annotations.read_json(path), _image, path)
    folder, name = path.parent.parent / "img", path.name.removesuffix(".json")
    images = annotations.images
    annotated = annotations.add(
        images.find(name, folder) or images.with_stem(name, folder) or images.require(name, path, folder),
        path,
        size=size,
        split=next(filter(None, map(standard_split, tags)), None),
    )
    for index, item in enumerate(items):
        annotated.read(item, f"object {index}", _shape)


def _image(values: dict[str, Any]) -> tuple[tuple[int, int], list[str], list[Any]]:
    """((height, width), tags, objects) of an image."""
    tags = [str(tag.get("name")) for tag in values.get("tags") or [] if isinstance(tag, dict)]
    return (
        (int(values["size"]["height"]), int(values["size"]["width"])),
        tags,
        list(values["objects"]),
    )


def _shape(item: dict[str, Any]) -> Shape:
    label = str(item["classTitle"])
    kind = str(item.get("geometryType") or ("bitmap" if item.get("bitmap") else "polygon"))
    outline: dict[str, Any]
    if kind in ("bitmap", "alpha_mask"):
        column, row = item["bitmap"]["origin"]
        outline = {"png": str(item["bitmap"]["data"]), "corner": [row, column]}
    elif kind == "rectangle":
        outline = {"polygons": [box(item["points"]["exterior"])]}
    elif kind == "polygon":
        holes = [flat(hole) for hole in item["points"].get("interior") or []]
        outline = {"polygons": [polygon(item["points"]["exterior"])], "holes": holes}
    else:
        return Shape(label, kind=kind)
    return Shape(label, outline, kind)
