"""Segments.ai: a release file (JSON) with polygons, or with bitmaps as its Python package downloads them.

A bitmap NAME_label_LABELSET.png beside the image NAME.jpg has the number R + 256 G + 65536 B of an object in each
pixel. The release file itself has addresses only.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlparse

from segwright.data.exports.annotations import Annotations, Shape
from segwright.data.exports.entries import ObjectExport
from segwright.data.exports.files_of_export import Color, FormatFiles
from segwright.data.exports.object_shapes import polygon
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "segments_ai", "Segments.ai", True
_FILES = FormatFiles(
    ("*.json", "*/*.json"), ("dataset samples task_type",), shows="is a release file with samples"
)
recognize = _FILES.evidence
_LABEL = "_label_"  # between the names of image and label set in the name of a bitmap


class _Class(NamedTuple):
    name: str
    color: Color | None
    is_stuff: bool


def read(root: Path, split: str | None) -> ObjectExport:
    """The labeled samples of the release file; the classes are in the order of its categories."""
    files = _FILES.find(root)
    if len(files) != 1:
        raise UserError(f"{root}: {len(files)} release files of Segments.ai; expected one; remove the others")
    path, annotations = files[0], Annotations(root, TITLE, lambda image: _LABEL not in image.stem)
    classes, label_set, samples = annotations.parse(annotations.read_json(path), _release, path)
    for number, sample in enumerate(samples):
        where = f"{path}: sample {number}"
        names, label, items = annotations.parse(sample, partial(_sample, label_set=label_set), where)
        if label is None:
            continue
        image = annotations.images.require(names, where)
        bitmap = _bitmap(label, image, label_set, where)
        annotated = annotations.add(image, path, maps=() if bitmap is None else (bitmap,))
        for index, item in enumerate(items):
            shape = partial(_shape, bitmap=bitmap, classes=classes)
            annotated.read(item, f"sample {number}, annotation {index}", shape)
    return annotations.export(
        [row.name for row in classes.values()],
        colors={row.name: row.color for row in classes.values()},
        stuff=(row.name for row in classes.values() if row.is_stuff),
    )


def _release(values: dict[str, Any]) -> tuple[dict[Any, _Class], str, list[Any]]:
    """(category id -> class, the name of the label set, the samples)."""
    dataset = values["dataset"]
    names = [str(row["name"]) for row in dataset.get("labelsets") or [{"name": "ground-truth"}]]
    label_set = "ground-truth" if "ground-truth" in names else names[0]
    classes = {
        row["id"]: _Class(str(row["name"]), _color(row.get("color")), row.get("has_instances") is False)
        for row in dataset["task_attributes"]["categories"]
    }
    return classes, label_set, list(dataset["samples"])


def _color(values: Any) -> Color | None:
    if not isinstance(values, list) or len(values) < 3:
        return None
    red, green, blue = (int(value) for value in values[:3])
    return red, green, blue


def _sample(sample: dict[str, Any], label_set: str) -> tuple[list[str], dict[str, Any] | None, list[Any]]:
    """(names that the image may have in the folder, its label: None if there is none, its annotations)."""
    name, address = str(sample["name"]), str(sample["attributes"]["image"]["url"])
    end = PurePosixPath(urlparse(address).path).suffix
    names = [name, f"{PurePosixPath(name).stem}{end}", address]
    stated = (sample.get("labels") or {}).get(label_set)
    if not stated:
        return names, None, []
    label = dict(stated["attributes"])
    return names, label, list(label["annotations"])


def _bitmap(label: dict[str, Any], image: Path, label_set: str, where: str) -> Path | None:
    """The bitmap beside an image; None if the label has polygons."""
    if not label.get("segmentation_bitmap"):
        return None
    path = image.with_name(f"{image.stem}{_LABEL}{label_set}.png")
    if not path.is_file():
        raise UserError(
            f"{where}: its bitmap {path.name} is missing beside the image; expected it as the package segments-ai "
            "downloads it: SegmentsDataset(RELEASE_FILE) writes both into segments/"
        )
    return path


def _shape(item: dict[str, Any], bitmap: Path | None, classes: dict[Any, _Class]) -> Shape:
    category, kind = item["category_id"], str(item.get("type", "segment"))
    if category not in classes:
        raise ValueError(f"category {category!r}, which the release does not list")
    label = classes[category].name
    if bitmap is not None:
        number = int(item["id"])  # its lowest byte is red
        color = (number & 0xFF) << 16 | number & 0xFF00 | number >> 16 & 0xFF
        return Shape(label, {"colors": [color], "map": str(bitmap)}, kind)
    if kind != "polygon":
        return Shape(label, kind=kind)
    return Shape(label, {"polygons": [polygon(item["points"])]}, kind)
