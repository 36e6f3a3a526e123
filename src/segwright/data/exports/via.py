"""VGG Image Annotator (VIA 2 and 3): a project or annotations in JSON, or CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from segwright.data.exports import via3
from segwright.data.exports.entries import Entry, ObjectExport, category_ids, splits_of
from segwright.data.exports.files_of_export import (
    ImageFiles,
    glob_visible,
    ignored_note,
    parse,
    read_json,
    read_text,
    starts_with,
)
from segwright.data.exports.object_shapes import box, ellipse
from segwright.data.exports.splits import split_of_path
from segwright.errors import UserError
from segwright.files import parse_json

NAME, TITLE, SPECIFIC = "via", "VGG Image Annotator", True


def recognize(root: Path) -> str | None:
    """JSON or CSV files with shape attributes of regions."""
    files = _files(root)
    return None if not files else f"{files[0].relative_to(root)} lists shape attributes of regions"


def _files(root: Path) -> list[Path]:
    paths = glob_visible(root, "*.json", "*.csv", "*/*.json", "*/*.csv")
    words = ('"shape_attributes"', "region_shape_attributes", '"_via_img_metadata"')
    return [
        path
        for path in paths
        if any(starts_with(path, word) for word in words)
        or starts_with(path, '"data_format_version"', '"pid"')
    ]


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of all files. The class of a region is its attribute with options, else its first attribute."""
    files = _files(root)
    if not files:
        raise UserError(f"{root}: no file of VGG Image Annotator; expected JSON or CSV; check the folder")
    images, left_out = ImageFiles(root), Counter[str]()
    attribute, names = _declared_classes(files)
    rows_of: dict[Path, tuple[list[dict[str, Any]], Path]] = {}
    for path in files:
        for name, regions in _images(path):
            image = images.require(name, str(path), path.parent)
            rows = rows_of.setdefault(image, ([], path))[0]
            for index, region in enumerate(regions):
                where = f"{name}, region {index}"
                row = parse(region, partial(_region, attribute=attribute), f"{path}: {where}", "VIA")
                kind = row.pop("kind")
                if "segmentation" not in row:
                    left_out[kind] += 1
                    continue
                rows.append({"id": len(rows) + 1, "where": where, **row})
    occurring = dict.fromkeys(row["label"] for rows, _ in rows_of.values() for row in rows)
    _require_classes(rows_of)
    kept, id_of = category_ids(names or [label or "object" for label in occurring] or ["object"])
    entries = []
    for image, (rows, path) in rows_of.items():
        for row in rows:
            label = row.pop("label") or "object"
            if label not in id_of:
                raise UserError(f"{path}: {row['where']} has the class {label!r}, which is no option; add it")
            row["category_id"] = id_of[label]
        entries.append(Entry(image, split_of_path(image, root), None, tuple(rows), source=path))
    return ObjectExport(entries, kept, declared=splits_of(entries), notes=ignored_note(files[0], left_out))


def _require_classes(rows_of: dict[Path, tuple[list[dict[str, Any]], Path]]) -> None:
    """``UserError`` for a region without a class, unless no region has one: then all are of one class, "object"."""
    rows = [(row, path) for rows, path in rows_of.values() for row in rows]
    without = [(row, path) for row, path in rows if not row["label"]]
    if without and len(without) < len(rows):
        row, path = without[0]
        raise UserError(
            f"{path}: {row['where']} has no class, and other regions have one; expected a class for each; choose it in "
            "VGG Image Annotator, or remove the region"
        )


def _declared_classes(files: list[Path]) -> tuple[str | None, list[str]]:
    """(the attribute that holds the class, its options) that a project declares."""
    for path in files:
        values = read_json(path, "VIA") if path.suffix == ".json" else {}
        if via3.is_version3(values):
            attribute, options = parse(values, via3.declared_classes, f"{path}: attribute", "VIA")
            return attribute, options
        attributes = values.get("_via_attributes", {}).get("region", {}) if isinstance(values, dict) else {}
        for name, attribute in attributes.items():
            if isinstance(attribute, dict) and attribute.get("options"):
                return str(name), [str(option) for option in attribute["options"]]
        if attributes:
            return str(next(iter(attributes))), []
    return None, []


def _images(path: Path) -> Iterator[tuple[str, list[Any]]]:
    """(file name, regions) of each image."""
    if path.suffix == ".csv":
        regions: dict[str, list[Any]] = {}
        for number, row in enumerate(csv.DictReader(io.StringIO(read_text(path))), start=2):
            name, shape, region = parse(row, _csv_row, f"{path}: line {number}", "VIA")
            listed = regions.setdefault(name, [])
            if shape:
                listed.append({"shape_attributes": shape, "region_attributes": region})
        yield from regions.items()
        return
    values = read_json(path, "VIA")
    if via3.is_version3(values):
        yield from parse(values, lambda project: list(via3.images(project)), f"{path}: metadata", "VIA")
        return
    images = values.get("_via_img_metadata", values) if isinstance(values, dict) else {}
    for key, image in images.items():
        name, listed = parse(
            image, lambda v: (str(v["filename"]), v.get("regions") or []), f"{path}: {key}", "VIA"
        )
        yield name, list(listed.values()) if isinstance(listed, dict) else list(listed)


def _csv_row(row: dict[str, str]) -> tuple[str, Any, Any]:
    name = row.get("filename") or row["#filename"]
    return (
        name,
        parse_json(row["region_shape_attributes"] or "{}"),
        parse_json(row.get("region_attributes") or "{}"),
    )


def _region(region: dict[str, Any], attribute: str | None) -> dict[str, Any]:
    shape, attributes = region["shape_attributes"], region.get("region_attributes") or {}
    value = attributes.get(attribute) if attribute else next(iter(attributes.values()), None)
    if isinstance(value, dict):  # a checkbox: {option: true}
        value = next((key for key, chosen in value.items() if chosen), None)
    row: dict[str, Any] = {
        "kind": str(shape["name"]),
        "label": "" if value is None else str(value).strip(),
    }
    outline = _outline(shape)
    return row if outline is None else row | {"segmentation": {"polygons": [outline]}}


def _outline(shape: dict[str, Any]) -> list[float] | None:
    kind = shape["name"]
    if kind == "polygon":
        xs, ys = shape["all_points_x"], shape["all_points_y"]
        if len(xs) < 3:
            raise ValueError(f"a polygon of {len(xs)} points")
        return [float(value) for point in zip(xs, ys, strict=True) for value in point]
    if kind == "rect":
        left, top = float(shape["x"]), float(shape["y"])
        return box(left, top, left + float(shape["width"]), top + float(shape["height"]))
    if kind in ("circle", "ellipse"):
        center = float(shape["cx"]), float(shape["cy"])
        radii = (float(shape["r"]),) * 2 if kind == "circle" else (float(shape["rx"]), float(shape["ry"]))
        turn = float(shape.get("theta") or 0) * 180 / 3.141592653589793
        return ellipse(center, (radii[0], radii[1]), turn)
    return None
