"""Datumaro's own format: a JSON file per subset in annotations/, and images/SUBSET/."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from segwright.data.exports.annotations import Annotations, Shape
from segwright.data.exports.entries import ObjectExport
from segwright.data.exports.files_of_export import FormatFiles
from segwright.data.exports.object_shapes import ellipse, pairs, polygon
from segwright.data.exports.splits import standard_split
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "datumaro", "Datumaro", True
_FILES = FormatFiles(
    ("annotations/*.json", "*.json"),
    ("categories items label",),
    shows="lists items and their annotations",
    missing="no JSON file of Datumaro; expected annotations/default.json",
)
recognize = _FILES.evidence


def read(root: Path, split: str | None) -> ObjectExport:
    """The polygons and masks of all subsets; a higher ``z_order`` is visible. Polygons of one group are one object."""
    files = _FILES.require(root)
    annotations, names = Annotations(root, TITLE), list[str]()
    for path in files:
        values = annotations.read_json(path)
        named = annotations.parse(values, _names, f"{path}: categories")
        if names and named != names:
            raise UserError(
                f"{path}: other classes than {files[0].name}; expected the same in every subset; export them together"
            )
        names = named
        for index, item in enumerate(values["items"]):
            _read(item, f"{path}: item {index}", path, annotations, names)
    return annotations.export(names)


def _names(values: dict[str, Any]) -> list[str]:
    return [str(label["name"]) for label in values["categories"]["label"]["labels"]]


def _read(item: Any, where: str, path: Path, annotations: Annotations, names: list[str]) -> None:
    name, file, size, rows = annotations.parse(item, _item, where)
    image = annotations.images.require(file, f"{path}: {name}", annotations.root / "images" / path.stem)
    annotated = annotations.add(image, path, size=size, split=standard_split(path.stem))
    for number, row in enumerate(rows):
        annotated.read(row, f"{name}, annotation {number}", partial(_shape, names=names))


def _item(item: dict[str, Any]) -> tuple[str, str, tuple[int, int] | None, list[Any]]:
    """(name, file of the image, (height, width), annotations) of an item."""
    name, stated = str(item["id"]), item.get("image") or item.get("media") or {}
    size = stated.get("size")
    return (
        name,
        str(stated.get("path") or f"{name}.jpg"),
        (int(size[0]), int(size[1])) if size else None,
        list(item["annotations"]),
    )


def _shape(row: dict[str, Any], names: list[str]) -> Shape:
    kind, index = str(row["type"]), row.get("label_id")
    if kind not in ("polygon", "mask", "ellipse"):
        return Shape("", kind=kind)
    if not isinstance(index, int) or not 0 <= index < len(names):
        raise ValueError(f"class {index}, and the file lists 0 to {len(names) - 1}")
    outline = row["rle"] if kind == "mask" else {"polygons": [_polygon(kind, row["points"])]}
    return Shape(names[index], outline, kind, row.get("group") or None, row.get("z_order") or 0)


def _polygon(kind: str, points: list[Any]) -> list[float]:
    if kind == "polygon":
        return polygon(pairs(points))
    left, top, right, bottom = (float(value) for value in points)  # the box around an ellipse
    return ellipse(((left + right) / 2, (top + bottom) / 2), ((right - left) / 2, (bottom - top) / 2))
