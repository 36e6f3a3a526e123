"""Roboflow "Semantic Segmentation Masks": per split a ``_classes.csv``, images, and a ``*_mask.png`` beside each."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from segwright.data.exports.entries import Entry, MapExport, map_labels, splits_of
from segwright.data.exports.files_of_export import glob_visible, read_text
from segwright.data.exports.splits import split_of_path
from segwright.data.reading.file_lists import list_images
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "roboflow_masks", "Roboflow masks", True
_SUFFIX = "_mask"


def recognize(root: Path) -> str | None:
    """A _classes.csv with pixel values."""
    files = glob_visible(root, "_classes.csv", "*/_classes.csv")
    return None if not files else f"{files[0].relative_to(root)} lists pixel values and classes"


def read(root: Path, split: str | None) -> MapExport:
    """The images beside each _classes.csv."""
    files = glob_visible(root, "_classes.csv", "*/_classes.csv")
    if not files:
        raise UserError(f"{root}: no _classes.csv; expected one per split; check the folder")
    classes = _classes(files[0])
    entries, unmatched = [], list[Path]()
    for path in files:
        if _classes(path) != classes:
            raise UserError(
                f"{path}: other classes than {files[0]}; expected the same; export the dataset again"
            )
        paths = list_images(path.parent)
        masks = {p.stem.removesuffix(_SUFFIX): p for p in paths if p.stem.endswith(_SUFFIX)}
        images = [p for p in paths if not p.stem.endswith(_SUFFIX)]
        for image in images:
            if image.stem not in masks:
                raise UserError(
                    f"{path.parent / image.stem}{_SUFFIX}.png: no such file; expected the mask of {image.name}; add "
                    "it, or remove the image"
                )
            entries.append(Entry(image, split_of_path(path, root), maps=(masks.pop(image.stem),)))
        unmatched += masks.values()
    if unmatched:
        raise UserError(
            f"{unmatched[0]}: its image is missing; expected {unmatched[0].stem.removesuffix(_SUFFIX)}.jpg beside it; "
            "add the image, or remove the mask"
        )
    return MapExport(entries, map_labels(root, classes), declared=splits_of(entries))


def _classes(path: Path) -> list[tuple[str, int, None]]:
    rows = [row for row in csv.reader(io.StringIO(read_text(path)), skipinitialspace=True) if row]
    classes: list[tuple[str, int, None]] = []
    for number, row in enumerate(rows, start=1):
        if number == 1 and not row[0].strip().isdigit():
            continue
        if len(row) < 2 or not row[0].strip().isdigit():
            raise UserError(
                f"{path}: line {number} is {','.join(row)!r}; expected 'value, class'; correct it"
            )
        classes.append((row[1].strip(), int(row[0]), None))
    if not classes:
        raise UserError(f"{path}: lists no class; expected 'value, class' per line; export it again")
    return sorted(classes, key=lambda row: row[1])
