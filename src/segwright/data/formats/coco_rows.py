"""The rows of COCO JSON files: images, annotations, categories and segments, with their fields checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segwright.data.reading.images import image_size

MAX_SEGMENT_ID = 0xFFFFFF  # three channels of a PNG

Row = Mapping[str, Any]


def annotation_record(size: tuple[Any, Any], annotations: list[dict[str, Any]], image: Path) -> str:
    """The record of ``CocoInstanceMasks`` for an image: height, width and annotations as JSON text.

    If ``size`` (height, width) is incomplete, it is read from the image file.
    """
    height, width = size if all(isinstance(side, int) for side in size) else image_size(image)
    return json.dumps([height, width, annotations], separators=(",", ":"))


def parse_segments(row: Row) -> list[tuple[int, int, bool]]:
    """(segment id, category id, crowd) of each segment of a panoptic annotation; ``ValueError`` for a wrong id."""
    segments = [
        (int(segment["id"]), int(segment["category_id"]), parse_flag(segment.get("iscrowd")))
        for segment in row["segments_info"]
    ]
    invalid = [segment_id for segment_id, *_ in segments if not 0 < segment_id <= MAX_SEGMENT_ID]
    if invalid:
        raise ValueError(f"segment id {invalid[0]}; expected 1..{MAX_SEGMENT_ID}, 0 is void")
    ids = [segment_id for segment_id, *_ in segments]
    if len({*ids}) < len(ids):
        raise ValueError(f"segment {next(i for i in ids if ids.count(i) > 1)} is listed twice")
    return segments


def parse_category(row: Row) -> tuple[int, str, bool | None, tuple[int, int, int] | None]:
    """(id, name, whether it is a thing if stated, color if stated) of a category; ``ValueError`` for a wrong color."""
    thing, color = row.get("isthing"), row.get("color")
    rgb = None if color is None else tuple(int(value) for value in color)
    if rgb is not None and (len(rgb) != 3 or not all(0 <= value <= 255 for value in rgb)):
        raise ValueError(f"color {color}")
    return int(row["id"]), str(row["name"]), None if thing is None else parse_flag(thing), rgb


def parse_image(row: Row) -> tuple[Any, str]:
    """(id, file name with slashes) of an image."""
    return row["id"], posix_name(row["file_name"])


def parse_annotation(row: Row) -> tuple[Any, dict[str, Any]]:
    """(image id, the fields that are used) of an annotation; ``area`` only where the file states a number."""
    kept = {key: row[key] for key in ("id", "iscrowd", "segmentation", "area") if key in row}
    if "iscrowd" in row:
        kept["iscrowd"] = int(parse_flag(row["iscrowd"]) and not is_brush_mask(row))
    if not is_area(row.get("area")):
        kept.pop("area", None)  # it is measured from the mask
    return row["image_id"], kept | {"category_id": int(row["category_id"])}


def is_brush_mask(row: Row) -> bool:
    """Whether CVAT wrote a row for a mask of its brush: it gives iscrowd=1 to each of them, which are no crowds.

    Its rows have the attribute "occluded", those of COCO have none.
    """
    attributes = row.get("attributes")
    return (
        isinstance(row.get("segmentation"), dict)
        and isinstance(attributes, dict)
        and "occluded" in attributes
    )


def is_area(value: object) -> bool:
    """Whether ``value`` states an area: a finite number of at least 0, rather than null, text or nothing."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def parse_flag(value: Any) -> bool:
    """Whether a flag (0 or 1, also as text; null is 0) is set; ``ValueError`` for anything else."""
    number = 0 if value is None else int(value)
    if number not in (0, 1):
        raise ValueError(f"{value!r}, expected 0 or 1")
    return bool(number)


def posix_name(name: object) -> str:
    """A path of a COCO file with slashes: files written on Windows have backslashes."""
    return str(name).replace("\\", "/")
