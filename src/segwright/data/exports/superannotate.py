"""SuperAnnotate: a JSON file per image, and classes/classes.json.

Vector projects have polygons, with the holes in ``exclude``, and ellipses; polygons of one ``groupId`` (0 is none) are
one object, as in SuperAnnotate's own conversion to COCO. Pixel projects have a map NAME___save.png in which an object
has the colors of its parts. ``___fuse.png`` is a picture for people.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from segwright.data.exports.annotations import Annotations, Shape
from segwright.data.exports.entries import ObjectExport
from segwright.data.exports.files_of_export import (
    Color,
    FormatFiles,
    color_from_hex,
    color_number,
    glob_visible,
    require_color,
    stated_size,
)
from segwright.data.exports.image_files import ImageFiles
from segwright.data.exports.object_shapes import ellipse, pairs, polygon
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "superannotate", "SuperAnnotate", True
_FILES = FormatFiles(
    ("**/*.json",),
    ("metadata instances",),
    shows="JSON files with instances",
    is_counted=True,
    missing="no JSON of SuperAnnotate; expected one per image",
)
recognize = _FILES.evidence
_MAP, _PICTURE = "___save", "___fuse"
_NOT_ANNOTATED = ("NotStarted", "Skipped")  # statuses of images that show nothing


def read(root: Path, split: str | None) -> ObjectExport:
    """The images that were annotated. The classes are those of classes.json, else all names, sorted."""
    annotations = Annotations(root, TITLE, lambda path: not path.stem.endswith((_MAP, _PICTURE)))
    maps = ImageFiles(root, lambda path: path.stem.endswith((_MAP, _PICTURE)))
    for path in _FILES.require(root):
        _read(path, annotations, maps)
    classes = _classes(root, annotations)
    return annotations.export(list(classes) or sorted(annotations.labels()), "classes.json", colors=classes)


def _classes(root: Path, annotations: Annotations) -> dict[str, Color | None]:
    """Name -> color of the classes in classes.json; empty without the file."""
    for path in glob_visible(root, "classes/classes.json", "classes.json", "*/classes/classes.json")[:1]:
        rows = annotations.parse(annotations.read_json(path), list, path)
        return dict(annotations.parse(row, _class, f"{path}: class {i}") for i, row in enumerate(rows))
    return {}


def _class(row: dict[str, Any]) -> tuple[str, Color | None]:
    return str(row["name"]), color_from_hex(row.get("color"))


def _read(path: Path, annotations: Annotations, maps: ImageFiles) -> None:
    name, size, status, items = annotations.parse(annotations.read_json(path), _image, path)
    if status in _NOT_ANNOTATED and not items:
        return
    own = [maps.find(f"{name}{suffix}.png", path.parent) for suffix in (_MAP, _PICTURE)]
    if own[0] is None and any("parts" in item for item in items):
        raise UserError(
            f"{path}: its objects are in {name}{_MAP}.png, and {annotations.root} contains no such file; expected the "
            "map of each image of a pixel project; export the project again"
        )
    annotated = annotations.add(
        annotations.images.require(name, path, path.parent),
        path,
        size=size,
        maps=tuple(file for file in own if file),
    )
    for index, item in enumerate(items):
        annotated.read(item, f"instance {index}", partial(_shape, colors=own[0]))


def _image(values: dict[str, Any]) -> tuple[str, tuple[int, int] | None, str, list[dict[str, Any]]]:
    """(name, (height, width), status without blanks, objects) of an image."""
    metadata, items = values["metadata"], [dict(item) for item in values["instances"]]
    return str(metadata["name"]), stated_size(metadata), str(metadata.get("status")).replace(" ", ""), items


def _shape(item: dict[str, Any], colors: Path | None) -> Shape:
    """An object; ``colors``: the map in which those of pixel projects are."""
    kind = "mask" if "parts" in item else str(item["type"])
    label = str(item.get("className") or "")
    if kind not in ("polygon", "ellipse", "mask"):
        return Shape(label, kind=kind)
    if kind == "mask":
        numbers = [color_number(require_color(part["color"])) for part in item["parts"]]
        return Shape(label, {"colors": numbers, "map": str(colors)}, kind)
    if kind == "ellipse":
        center, radii = (float(item["cx"]), float(item["cy"])), (float(item["rx"]), float(item["ry"]))
        outline = {"polygons": [ellipse(center, radii, float(item.get("angle") or 0))]}
    else:
        holes = [[float(value) for value in hole] for hole in item.get("exclude") or []]
        outline = {"polygons": [polygon(pairs(item["points"]))], "holes": holes}
    return Shape(label, outline, kind, group=item.get("groupId") or None)
