"""VGG Image Annotator (VIA 2 and 3): a project or annotations in JSON, or CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import degrees
from pathlib import Path
from typing import Any

from segwright.data.exports import via3
from segwright.data.exports.annotations import OBJECT, Annotations, Shape
from segwright.data.exports.entries import ObjectExport
from segwright.data.exports.files_of_export import FormatFiles, read_csv
from segwright.data.exports.object_shapes import box, ellipse, polygon
from segwright.files import parse_json

NAME, TITLE, SPECIFIC = "via", "VGG Image Annotator", True
_FILES = FormatFiles(
    ("*.json", "*.csv", "*/*.json", "*/*.csv"),
    ("shape_attributes", "region_shape_attributes", "_via_img_metadata", "data_format_version pid"),
    shows="lists shape attributes of regions",
    missing="no file of VGG Image Annotator; expected JSON or CSV",
)
recognize = _FILES.evidence


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of all files. The class of a region is its attribute with options, else its first attribute."""
    files, annotations = _FILES.require(root), Annotations(root, "VIA")
    attribute, options = _declared_classes(files, annotations)
    for path in files:
        for name, regions in _images(path, annotations):
            image = annotations.images.require(name, path, path.parent)
            annotated = annotations.known(image) or annotations.add(image, path)
            for index, region in enumerate(regions):
                where = f"{name}, region {index}"
                shape = partial(_shape, attribute=attribute)
                annotated.add(annotations.parse(region, shape, f"{path}: {where}"), where)
    classes = options or annotations.labels() or [OBJECT]
    return annotations.export(classes, f"the attribute {attribute!r} of the project")


def _declared_classes(files: Sequence[Path], annotations: Annotations) -> tuple[str | None, list[str]]:
    """(the attribute that holds the class, its options) that a project declares."""
    for path in files:
        values = annotations.read_json(path) if path.suffix == ".json" else {}
        if via3.is_version3(values):
            return annotations.parse(values, via3.declared_classes, f"{path}: attribute")
        attributes = values.get("_via_attributes", {}).get("region", {}) if isinstance(values, dict) else {}
        for name, attribute in attributes.items():
            if isinstance(attribute, dict) and attribute.get("options"):
                return str(name), [str(option) for option in attribute["options"]]
        if attributes:
            return str(next(iter(attributes))), []
    return None, []


def _images(path: Path, annotations: Annotations) -> Iterator[tuple[str, list[Any]]]:
    """(file name, regions) of each image."""
    if path.suffix == ".csv":
        regions: dict[str, list[Any]] = {}
        for number, row in enumerate(read_csv(path), start=2):
            name, region = annotations.parse(row, _csv_row, f"{path}: line {number}")
            regions.setdefault(name, []).extend(region)
        yield from regions.items()
        return
    values = annotations.read_json(path)
    if via3.is_version3(values):
        yield from annotations.parse(values, lambda project: list(via3.images(project)), f"{path}: metadata")
        return
    images = values.get("_via_img_metadata", values) if isinstance(values, dict) else {}
    for key, image in images.items():
        yield annotations.parse(image, _json_image, f"{path}: {key}")


def _csv_row(row: dict[str, str]) -> tuple[str, list[Any]]:
    """(file name, the region of the row: none for an image without regions)."""
    shape = parse_json(row["region_shape_attributes"] or "{}")
    region = {
        "shape_attributes": shape,
        "region_attributes": parse_json(row.get("region_attributes") or "{}"),
    }
    return row.get("filename") or row["#filename"], [region] if shape else []


def _json_image(image: dict[str, Any]) -> tuple[str, list[Any]]:
    regions = image.get("regions") or []
    return str(image["filename"]), list(regions.values() if isinstance(regions, dict) else regions)


def _shape(region: dict[str, Any], attribute: str | None) -> Shape:
    shape, attributes = region["shape_attributes"], region.get("region_attributes") or {}
    value = attributes.get(attribute) if attribute else next(iter(attributes.values()), None)
    if isinstance(value, dict):  # a checkbox: {option: true}
        value = next((key for key, chosen in value.items() if chosen), None)
    outline = _outline(shape)
    label = "" if value is None else str(value).strip()
    return Shape(label, outline and {"polygons": [outline]}, str(shape["name"]))


def _outline(shape: dict[str, Any]) -> list[float] | None:
    kind = shape["name"]
    if kind == "polygon":
        xs, ys = shape["all_points_x"], shape["all_points_y"]
        if len(xs) != len(ys):
            raise ValueError(f"{len(xs)} x and {len(ys)} y of points")
        return polygon(zip(xs, ys, strict=True))
    if kind == "rect":
        left, top = float(shape["x"]), float(shape["y"])
        return box([(left, top), (left + float(shape["width"]), top + float(shape["height"]))])
    if kind in ("circle", "ellipse"):
        center = float(shape["cx"]), float(shape["cy"])
        radii = [float(shape[name]) for name in (("r", "r") if kind == "circle" else ("rx", "ry"))]
        return ellipse(center, (radii[0], radii[1]), degrees(float(shape.get("theta") or 0)))
    return None
