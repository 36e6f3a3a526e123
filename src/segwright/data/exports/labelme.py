"""labelme: a JSON file per image with polygons, rectangles, circles and masks of its AI tools.

An image that is nowhere in the folder is read from the file, if that holds it (``imageData``).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from math import hypot
from pathlib import Path
from typing import Any

from segwright.data.exports.annotations import Annotations, Shape
from segwright.data.exports.embedded_images import decode_base64, unpacked_folder, write_image
from segwright.data.exports.entries import ObjectExport
from segwright.data.exports.files_of_export import (
    FormatFiles,
    glob_visible,
    read_json,
    read_names,
    stated_size,
)
from segwright.data.exports.object_shapes import box, ellipse, polygon
from segwright.data.reading.images import open_with_pillow
from segwright.data.reading.limits import refuse_decompression_bomb
from segwright.errors import UserError, first_line

NAME, TITLE, SPECIFIC = "labelme", "labelme", True
_FILES = FormatFiles(
    ("**/*.json",),
    ("shapes imagePath", "shapes shape_type", "shapes version"),
    shows="JSON files with shapes",
    is_counted=True,
    missing="no JSON file of labelme; expected one per image",
)
recognize = _FILES.evidence
LEAST_POINTS = {"polygon": 3, "rectangle": 2, "oriented_rectangle": 4, "circle": 2, "mask": 1}
"""How many points each shape with an area has at least."""


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of all JSON files. The classes are those of labels.txt, else all labels, sorted."""
    annotations = Annotations(root, TITLE)
    for path in _FILES.require(root):
        _read(path, annotations)
    return annotations.export(_listed_classes(root) or sorted(annotations.labels()), "labels.txt")


def _listed_classes(root: Path) -> list[str]:
    """The classes of the lists beside the JSON files, or in a folder above them."""
    paths = glob_visible(root, "labels.txt", "classes.txt", "*/labels.txt", "*/classes.txt")
    return list(dict.fromkeys(name for path in paths for name in read_names(path)))


def read_file(path: Path) -> dict[str, Any]:
    """The content of a file of labelme; ``UserError`` if it is none."""
    values = read_json(path, TITLE)
    if not isinstance(values, dict) or not isinstance(values.get("shapes"), list):
        raise UserError(
            f"{path}: has no list 'shapes'; expected a file of labelme; remove it from the folder"
        )
    return values


def _read(path: Path, annotations: Annotations) -> None:
    values = read_file(path)
    annotated = annotations.add(
        _image(path, values, annotations),
        path,
        size=stated_size(values, "imageHeight", "imageWidth"),
    )
    for index, shape in enumerate(values["shapes"]):
        annotated.read(shape, f"shape {index}", read_shape)


def _image(path: Path, values: dict[str, Any], annotations: Annotations) -> Path:
    name, images = str(values.get("imagePath") or ""), annotations.images
    image = images.find(name, path.parent) or images.with_stem(path.stem, path.parent)
    if image is None and values.get("imageData"):
        image = write_image(embedded_image(values, path), unpacked_folder(path) / path.stem)
    return image or images.require(name or f"{path.stem}.jpg", path)


def embedded_image(values: Mapping[str, Any], path: Path) -> bytes:
    """The encoded image that the file ``path`` of labelme with these values holds; ``UserError`` if it is damaged."""
    try:
        data = decode_base64(str(values["imageData"]))
        with open_with_pillow(io.BytesIO(data)) as image:
            refuse_decompression_bomb(path, *image.size)
    except UserError:
        raise
    except (AttributeError, TypeError, ValueError, OSError, SyntaxError) as error:
        raise UserError(
            f"{path}: its 'imageData' is no image ({first_line(error)}); expected base64 of an image file; put the "
            "image beside the file, or save it again in labelme"
        ) from None
    return data


def read_shape(shape: dict[str, Any]) -> Shape:
    """A shape; ``ValueError`` if it has too few points."""
    label, kind = str(shape["label"]), str(shape.get("shape_type") or "polygon")
    points = [(float(x), float(y)) for x, y in shape["points"]]
    if kind not in LEAST_POINTS:
        return Shape(label, kind=kind)
    if len(points) < LEAST_POINTS[kind]:
        raise ValueError(
            f"{label}, a {kind}, has {len(points)} points; expected at least {LEAST_POINTS[kind]}"
        )
    outline: dict[str, Any]
    if kind == "mask":
        outline = {"png": str(shape["mask"]), "corner": [points[0][1], points[0][0]]}
    elif kind == "rectangle":
        outline = {"polygons": [box(points)]}
    elif kind == "circle":
        radius = hypot(points[1][0] - points[0][0], points[1][1] - points[0][1])
        outline = {"polygons": [ellipse(points[0], (radius, radius))]}
    else:
        outline = {"polygons": [polygon(points)]}
    return Shape(label, outline, kind, shape.get("group_id"))
