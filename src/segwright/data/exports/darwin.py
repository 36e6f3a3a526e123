"""V7 Darwin JSON (versions 2 and 1): a file per image with polygons and ellipses, and masks in one layer of runs."""

from __future__ import annotations

from functools import partial
from math import degrees
from pathlib import Path
from typing import Any

from segwright.data.exports.annotations import Annotations, Shape
from segwright.data.exports.entries import ObjectExport
from segwright.data.exports.files_of_export import FormatFiles
from segwright.data.exports.object_shapes import ellipse, flat, pairs
from segwright.data.exports.splits import split_of_path
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "darwin", "V7 Darwin", True
_FILES = FormatFiles(
    ("**/*.json",),
    ("annotations item slots", "annotations image original_filename"),
    shows="JSON files of one item each",
    is_counted=True,
    missing="no Darwin JSON; expected one per image",
)
recognize = _FILES.evidence
_WITHOUT_AREA = ("bounding_box", "line", "keypoint", "skeleton", "tag", "cuboid", "text")


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of all JSON files; the classes are sorted by name, as V7 lists them."""
    annotations = Annotations(root, TITLE)
    for path in _FILES.require(root):
        _read(path, annotations)
    return annotations.export(sorted(annotations.labels()))


def _read(path: Path, annotations: Annotations) -> None:
    values = annotations.read_json(path)
    name, folder, size = annotations.parse(values, _item, path)
    root, inside = annotations.root, f"{folder}/{name}".lstrip("/")
    image = annotations.images.find(inside) or annotations.images.require(name, path)
    annotated = annotations.add(image, path, size=size, split=split_of_path(root / inside, root))
    masks, layers = dict[str, str](), list[dict[str, Any]]()
    for index, item in enumerate(annotations.parse(values, _items, path)):
        where = f"annotation {index}"
        if "frames" in item:
            raise UserError(
                f"{path}: {where} belongs to a video; expected images; export the frames as images"
            )
        if "raster_layer" in item:
            layers.append(item["raster_layer"])
        elif "mask" in item:
            masks[str(item.get("id"))] = annotations.parse(item, _label, f"{path}: {where}")
        else:
            annotated.read(item, where, _shape)
    for layer in layers:
        shapes = annotations.parse(
            layer, partial(_masks, labels=masks, size=size), f"{path}: its raster_layer"
        )
        for identity, shape in shapes.items():
            annotated.add(shape, f"mask {identity}")


def _items(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(item) for item in values["annotations"]]


def _item(values: dict[str, Any]) -> tuple[str, str, tuple[int, int]]:
    """(file name, folder, (height, width)) of an item with one slot, or of an image of version 1."""
    if "item" not in values:
        image = values["image"]
        name, folder = image.get("original_filename") or image["filename"], image.get("path")
    else:
        if len(values["item"]["slots"]) != 1:
            raise ValueError(f"{len(values['item']['slots'])} slots; one image per item can be read")
        image = values["item"]["slots"][0]
        name, folder = values["item"]["name"], values["item"].get("path")
    return str(name), str(folder or ""), (int(image["height"]), int(image["width"]))


def _label(item: dict[str, Any]) -> str:
    return str(item["name"])


def _shape(item: dict[str, Any]) -> Shape:
    label = _label(item)
    if "ellipse" in item:
        center, radius = item["ellipse"]["center"], item["ellipse"]["radius"]
        turn = degrees(float(item["ellipse"].get("angle") or 0))  # V7 writes radians
        outline = ellipse(
            (float(center["x"]), float(center["y"])), (float(radius["x"]), float(radius["y"])), turn
        )
        return Shape(label, {"polygons": [outline]}, "ellipse")
    paths: list[Any]
    if "complex_polygon" in item:
        paths = item["complex_polygon"]["path"]
    elif "polygon" in item:
        polygon = item["polygon"]
        more = polygon.get("additional_paths") or ()
        paths = polygon["paths"] if "paths" in polygon else [polygon["path"], *more]
    else:
        return Shape(label, kind=next((kind for kind in _WITHOUT_AREA if kind in item), "annotation"))
    outlines = [flat((point["x"], point["y"]) for point in path) for path in paths]
    if not outlines or len(outlines[0]) < 6:
        raise ValueError("a polygon of fewer than 3 points")
    return Shape(label, {"nested": outlines}, "polygon")


def _masks(layer: dict[str, Any], labels: dict[str, str], size: tuple[int, int]) -> dict[str, Shape]:
    """Id -> mask of a layer: pairs of value and length along the rows; each value belongs to one annotation."""
    runs = [(int(value), int(length)) for value, length in pairs(layer["dense_rle"])]
    pixels = sum(length for _, length in runs)
    if pixels != size[0] * size[1] or min(length for _, length in runs) < 0:
        raise ValueError(f"{pixels} pixels; its image has {size[1]}x{size[0]}")
    masks = {}
    for identity, number in layer["mask_annotation_ids_mapping"].items():
        if identity not in labels:
            raise ValueError(f"the mask {identity!r} is no annotation of the file")
        own = [0]
        for value, length in runs:
            if (value == int(number)) == (len(own) % 2 == 0):
                own[-1] += length
            else:
                own.append(length)
        masks[identity] = Shape(labels[identity], {"runs": own, "box": [0, 0, size[1], size[0]]})
    return masks
