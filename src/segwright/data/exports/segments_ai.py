"""Segments.ai: a release file (JSON) with polygons, or with bitmaps as its Python package downloads them.

A bitmap NAME_label_LABELSET.png beside the image NAME.jpg has the number R + 256 G + 65536 B of an object in each
pixel. The release file itself has addresses only.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import urlparse

from segwright.data.exports.entries import Color, Entry, ObjectExport, category_ids, splits_of
from segwright.data.exports.files_of_export import (
    ImageFiles,
    flat,
    glob_visible,
    ignored_note,
    parse,
    read_json,
    starts_with,
)
from segwright.data.exports.splits import split_of_path
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "segments_ai", "Segments.ai", True
_LABEL = "_label_"  # between the names of image and label set in the name of a bitmap


def recognize(root: Path) -> str | None:
    """A JSON file of a release with samples."""
    files = _files(root)
    return None if not files else f"{files[0].relative_to(root)} is a release file with samples"


def _files(root: Path) -> list[Path]:
    paths = glob_visible(root, "*.json", "*/*.json")
    return [path for path in paths if starts_with(path, '"dataset"', '"samples"', '"task_type"')]


def read(root: Path, split: str | None) -> ObjectExport:
    """The labeled samples of the release file; the classes are in the order of its categories."""
    files = _files(root)
    if len(files) != 1:
        raise UserError(f"{root}: {len(files)} release files of Segments.ai; expected one; remove the others")
    path = files[0]
    classes, label_set, samples = parse(read_json(path, TITLE), _release, str(path), TITLE)
    kept, id_of = category_ids([title for title, *_ in classes.values()])
    images = ImageFiles(root, lambda image: _LABEL not in image.stem)
    left_out, entries = Counter[str](), list[Entry]()
    for number, sample in enumerate(samples):
        where = f"{path}: sample {number}"
        names, label = parse(sample, partial(_sample, label_set=label_set), where, TITLE)
        if label is None:
            continue
        image = next((p for name in names if (p := images.find(name))), None) or images.require(
            names[0], where
        )
        bitmap = _bitmap(label, image, label_set, where)
        rows = []
        for index, item in enumerate(parse(label, lambda v: list(v["annotations"]), where, TITLE)):
            place = f"sample {number}, annotation {index}"
            category, kind, shape = parse(item, partial(_shape, bitmap=bitmap), f"{path}: {place}", TITLE)
            if category not in classes:
                raise UserError(
                    f"{path}: {place} has the category {category!r}, which the release does not list; export it again"
                )
            if shape is None:
                left_out[kind] += 1
                continue
            title = classes[category][0]
            row = {"id": index + 1, "category_id": id_of[title], "where": f"{place} ({title})"}
            rows.append(row | {"segmentation": shape})
        maps = () if bitmap is None else (bitmap,)
        entries.append(Entry(image, split_of_path(image, root), None, tuple(rows), maps, source=path))
    notes = ignored_note(path, left_out)
    colors = {title: color for title, color, _ in classes.values() if color}
    stuff = frozenset(title for title, _, is_stuff in classes.values() if is_stuff)
    return ObjectExport(entries, kept, colors, declared=splits_of(entries), notes=notes, stuff=stuff)


_Class = tuple[str, "Color | None", bool]


def _release(values: dict[str, Any]) -> tuple[dict[Any, _Class], str, list[Any]]:
    """(category id -> (class, color, is stuff), the name of the label set, the samples)."""
    dataset = values["dataset"]
    names = [str(row["name"]) for row in dataset.get("labelsets") or [{"name": "ground-truth"}]]
    label_set = "ground-truth" if "ground-truth" in names else names[0]
    classes: dict[Any, _Class] = {}
    for row in dataset["task_attributes"]["categories"]:
        color = row.get("color")
        rgb = (
            tuple(int(value) for value in color[:3]) if isinstance(color, list) and len(color) >= 3 else None
        )
        classes[row["id"]] = (str(row["name"]), cast("Color | None", rgb), row.get("has_instances") is False)
    return classes, label_set, list(dataset["samples"])


def _sample(sample: dict[str, Any], label_set: str) -> tuple[list[str], dict[str, Any] | None]:
    """(names that the image may have in the folder, its label: None if there is none)."""
    name, address = str(sample["name"]), str(sample["attributes"]["image"]["url"])
    end = PurePosixPath(urlparse(address).path).suffix
    label = (sample.get("labels") or {}).get(label_set)
    return [name, f"{PurePosixPath(name).stem}{end}", address], None if not label else dict(
        label["attributes"]
    )


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


def _shape(item: dict[str, Any], bitmap: Path | None) -> tuple[Any, str, dict[str, Any] | None]:
    """(category, kind, outline) of an annotation."""
    category, kind = item["category_id"], str(item.get("type", "segment"))
    if bitmap is not None:
        return category, kind, {"number": int(item["id"]), "map": str(bitmap)}
    if kind != "polygon":
        return category, kind, None
    points = flat(item["points"])
    if len(points) < 6:
        raise ValueError(f"a polygon of {len(points) // 2} points")
    return category, kind, {"polygons": [points]}
