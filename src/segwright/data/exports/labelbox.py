"""Labelbox export (version 2): NDJSON or JSON with a row per image; its polygons, and masks that were downloaded.

Masks are addresses of Labelbox's server, so they are read only if they lie in the folder as FEATURE_ID.png.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from segwright.data.exports.annotations import Annotations, Shape
from segwright.data.exports.entries import ObjectExport
from segwright.data.exports.files_of_export import FormatFiles, read_json_lines, stated_size
from segwright.data.exports.image_files import ImageFiles
from segwright.data.exports.object_shapes import polygon
from segwright.data.exports.splits import standard_split
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "labelbox", "Labelbox", True
_FILES = FormatFiles(
    ("*.ndjson", "*.json", "*.jsonl", "*/*.ndjson"),
    ("data_row projects",),
    shows="has rows of data with the labels of projects",
    missing="no export of Labelbox; expected NDJSON",
)
recognize = _FILES.evidence
_KINDS = ("polygon", "mask", "composite_mask", "bounding_box", "line", "point")


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of all rows; the classes are in the order of their first use. Rows without a label are left out."""
    annotations = Annotations(root, TITLE)
    for path in _FILES.require(root):
        rows = annotations.read_json(path) if path.suffix == ".json" else read_json_lines(path, TITLE)
        for number, row in enumerate(rows if isinstance(rows, list) else [rows], start=1):
            names, size, items = annotations.parse(row, _row, f"{path}: row {number}")
            if items is None:
                continue
            image = annotations.images.require(names, f"{path}: row {number}")
            split_of_row = annotations.parse(row, _split, f"{path}: row {number}")
            annotated = annotations.add(image, path, size=size, split=split_of_row)
            for index, item in enumerate(items):
                where = f"row {number}, object {index}"
                shape = partial(_shape, where=f"{path}: {where}", files=annotations.images)
                annotated.read(item, where, shape)
    return annotations.export(annotations.labels())


def _row(row: dict[str, Any]) -> tuple[list[str], tuple[int, int] | None, list[Any] | None]:
    """(names that the image may have, (height, width), objects of the first label that was not skipped) of a row."""
    data = row["data_row"]
    names = [str(data[key]) for key in ("external_id", "global_key", "row_data") if data.get(key)]
    if not names:
        raise KeyError("external_id")
    labels = [
        label
        for project in row["projects"].values()
        for label in project.get("labels") or []
        if not (label.get("performance_details") or {}).get("skipped")
    ]
    objects = list(labels[0]["annotations"]["objects"]) if labels else None
    return names, stated_size(row.get("media_attributes") or {}), objects


def _split(row: dict[str, Any]) -> str | None:
    """The split in the metadata of a row: Labelbox reserves a field of this name."""
    fields = (field for field in row.get("metadata_fields") or () if field.get("schema_name") == "split")
    values = next((field.get("value") for field in fields), None)
    value = values[0] if isinstance(values, list) and values else values
    return standard_split(value.get("schema_name") if isinstance(value, dict) else value)


def _shape(item: dict[str, Any], where: str, files: ImageFiles) -> Shape:
    label = str(item["name"])
    kind = next((kind for kind in _KINDS if kind in item), str(item.get("annotation_kind", "annotation")))
    if kind == "polygon":
        outline = polygon((point["x"], point["y"]) for point in item["polygon"])
        return Shape(label, {"polygons": [outline]}, kind)
    if kind not in ("mask", "composite_mask"):
        return Shape(label, kind=kind)
    name = f"{item.get('feature_id')}.png"
    file = files.find(name)
    if file is None:
        raise UserError(
            f"{where} ({label}) is a mask on the server of Labelbox; expected it as {name} in the folder; download the "
            "masks by their addresses, or export to COCO with the labelbox package"
        )
    return Shape(label, {"files": [str(file)]}, kind)
