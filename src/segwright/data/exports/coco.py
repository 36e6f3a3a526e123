"""COCO instances: JSON files of polygons and run lengths, as Roboflow, CVAT, Label Studio and Datumaro write them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from segwright.data.exports.annotations import left_out_notes
from segwright.data.exports.entries import Entry, ObjectExport, category_ids
from segwright.data.exports.files_of_export import (
    Color,
    FormatFiles,
    color_from_hex,
    starts_with,
    stated_size,
)
from segwright.data.exports.image_files import ImageFiles
from segwright.data.exports.splits import split_of_file
from segwright.data.formats.coco import CocoAnnotations
from segwright.data.formats.coco_rows import Row, is_brush_mask, parse_annotation, parse_category
from segwright.errors import UserError
from segwright.wording import count_of

NAME, TITLE, SPECIFIC = "coco", "COCO instances", True


def _is_instances(path: Path) -> bool:
    return _is_coco(path) and standard_kind(path) == "instances"


def _is_coco(path: Path) -> bool:
    """Whether a JSON file has the three lists of COCO: looked for in its start, or else in all of it if it is small."""
    words = ('"images"', '"categories"', '"annotations"')
    if starts_with(path, '"shapes"') or path.stat().st_size > 1 << 33:
        return False
    if path.parent.name == "ann" or not any(starts_with(path, word) for word in (*words, '"info"')):
        return False
    data = path.read_bytes()
    return all(word.encode() in data for word in words) or (
        path.name.startswith(("_annotations.coco", "instances_")) and b"{" in data[:64]
    )


def standard_kind(path: Path) -> str:
    """ "panoptic" or "captions" and the like by what the file contains, else "instances"."""
    name = path.name.lower()
    if name.startswith(("person_keypoints", "captions", "image_info")):
        return "other"
    return "panoptic" if b'"segments_info"' in path.read_bytes() else "instances"


_FILES = FormatFiles(
    ("*.json", "*/*.json", "*/*/*.json"),
    accept=_is_instances,
    shows="lists images, categories and outlines",
    missing="no COCO JSON file; expected images, categories and annotations in one",
)
recognize = _FILES.evidence


def read(root: Path, split: str | None) -> ObjectExport:
    """All images of the JSON files; classes in the order of their ids.

    Copies that Label Studio or Datumaro put into other splits all count. COCO comes with files of the same images for
    its stuff task: they are read where there are no others.
    """
    files = _FILES.require(root)
    files = [path for path in files if not path.name.lower().startswith("stuff_")] or files
    split_of = {path: split_of_file(path, root) for path in files}
    declared = tuple(dict.fromkeys(name for name in split_of.values() if name))
    if split in declared:
        files = [path for path in files if split_of[path] == split]
    images = ImageFiles(root)
    parts = [CocoAnnotations.read(path) for path in files]
    rows = [row for part in parts for row in _used_categories(part)]
    names = list(dict.fromkeys(str(name) for _, name, *_ in sorted(rows, key=lambda row: row[0])))
    kept, id_of = category_ids(names)
    if not kept:
        raise UserError(f"{files[0]}: has no 'categories'; expected id and name of each class; add them")
    colors = {name: color for _, name, _, color in rows if color}
    stuff = frozenset(name for _, name, thing, _ in rows if thing is False)
    boxes = Counter[tuple[Path, str]]()
    entries = [entry for part in parts for entry in _entries(part, split_of[part.path], images, id_of, boxes)]
    notes = left_out_notes(boxes) + [note for part in parts for note in _brush_notes(part)]
    return ObjectExport(entries, kept, colors, on_top="smaller", declared=declared, stuff=stuff, notes=notes)


def _category(row: Row) -> tuple[int, str, bool | None, Color | None]:
    """A category; a color as text "#rrggbb" counts, too."""
    color = row.get("color")
    values = dict(row) | {"color": color_from_hex(color) if isinstance(color, str) else color}
    return parse_category(values)


def _used_categories(part: CocoAnnotations) -> list[tuple[int, str, bool | None, Any]]:
    """The categories, without the one that Roboflow writes as the parent of all others."""
    rows = part.parse_rows(_category, part.categories, "category")
    used = {row.get("category_id") for row in part.annotations}
    parents = {row.get("supercategory") for row in part.categories}
    is_parent = {
        row["id"]
        for row in part.categories
        if row.get("supercategory") == "none" and row.get("name") in parents and row["id"] not in used
    }
    return [row for row in rows if row[0] not in is_parent]


def _brush_notes(part: CocoAnnotations) -> list[str]:
    count = sum(bool(row.get("iscrowd")) and is_brush_mask(row) for row in part.annotations)
    if not count:
        return []
    return [
        f"{part.path}: {count_of(count, 'mask')} with iscrowd=1 read as single objects, because CVAT writes masks of "
        "its brush so"
    ]


def _entries(
    part: CocoAnnotations,
    split: str | None,
    images: ImageFiles,
    id_of: dict[str, int],
    boxes: Counter[tuple[Path, str]],
) -> list[Entry]:
    """The images of a file with their objects; annotations without an outline are counted in ``boxes``."""
    name_of = {row["id"]: str(row["name"]) for row in part.categories}
    names = part.file_names()
    objects: dict[Any, list[dict[str, Any]]] = {}
    for image_id, row in part.parse_rows(parse_annotation, part.annotations, "annotation"):
        where = f"annotation {row.get('id')}"
        if image_id not in names:
            raise UserError(
                f"{part.path}: {where} is of image {image_id}, which is not in 'images'; add the image or remove the "
                "annotation"
            )
        if row["category_id"] not in name_of:
            raise UserError(
                f"{part.path}: {where} has category {row['category_id']}, which is not in 'categories'; add the "
                "category or remove the annotation"
            )
        if not row.get("segmentation"):
            boxes[part.path, "box"] += 1
            continue
        row |= {"where": where, "category_id": id_of.get(name_of[row["category_id"]], 0)}
        objects.setdefault(image_id, []).append(row)
    rows = {row["id"]: row for row in part.images}
    entries = []
    for image_id, name in names.items():
        where, near = f"{part.path}: image {image_id}", part.path.parent
        image = images.require(name, where, near, strip=r"^[0-9a-f]{8}-", split=split)
        size = stated_size(rows[image_id])
        entries.append(Entry(image, split, size, tuple(objects.get(image_id, ())), source=part.path))
    return entries
