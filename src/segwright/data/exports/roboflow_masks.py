"""Roboflow "Semantic Segmentation Masks": per split a ``_classes.csv``, images, and a ``*_mask.png`` beside each."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from segwright.data.exports.entries import Entry, MapExport, map_labels
from segwright.data.exports.files_of_export import FormatFiles, read_text
from segwright.data.exports.folder_pairs import require_pairs
from segwright.data.reading.file_lists import list_images
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "roboflow_masks", "Roboflow masks", True
_FILES = FormatFiles(
    ("_classes.csv", "*/_classes.csv"),
    shows="lists pixel values and classes",
    missing="no _classes.csv; expected one per split",
)
recognize = _FILES.evidence
_SUFFIX = "_mask"


def read(root: Path, split: str | None) -> MapExport:
    """The images beside each _classes.csv."""
    files = _FILES.require(root)
    classes = _classes(files[0])
    entries = []
    for path in files:
        if _classes(path) != classes:
            raise UserError(
                f"{path}: other classes than {files[0]}; expected the same; export the dataset again"
            )
        paths = list_images(path.parent)
        masks = {p.stem.removesuffix(_SUFFIX): p for p in paths if p.stem.endswith(_SUFFIX)}
        mask_of = {p: masks.get(p.stem) for p in paths if not p.stem.endswith(_SUFFIX)}
        pairs = require_pairs(mask_of, masks.values(), path.parent, _mask_path)
        entries += [Entry(image, maps=(mask,)) for image, mask in pairs.items()]
    return MapExport(entries, map_labels(root, classes))


def _mask_path(image: Path) -> Path:
    return image.with_name(f"{image.stem}{_SUFFIX}.png")


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
