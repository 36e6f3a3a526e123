"""Hugging Face: image folders with metadata.jsonl or metadata.csv, and Parquet files with columns image and label."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from segwright.data.exports.entries import Entry, MapExport, map_labels
from segwright.data.exports.files_of_export import (
    FormatFiles,
    glob_visible,
    read_csv,
    read_json,
    read_json_lines,
    require_any,
)
from segwright.data.exports.mask_folders import labels_of_maps
from segwright.data.exports.parquet import unpack_parquet
from segwright.data.exports.splits import standard_split
from segwright.errors import UserError
from segwright.labels import LabelSpace

NAME, TITLE, SPECIFIC = "huggingface", "Hugging Face image folder or Parquet", True
_METADATA = FormatFiles(
    tuple(f"{folder}metadata.{end}" for end in ("jsonl", "csv") for folder in ("", "*/", "*/*/")),
    shows="lists images and their masks",
)
_PARQUET = FormatFiles(("**/*.parquet",), shows="is a Parquet file")
_LABEL_COLUMNS = ("label", "labels", "mask", "masks", "annotation", "segmentation", "segmentation_mask",
                  "semantic_segmentation", "label_image", "ground_truth", "target")  # fmt: skip


def recognize(root: Path) -> str | None:
    """metadata.jsonl or metadata.csv beside images, or Parquet files."""
    return _METADATA.evidence(root) or _PARQUET.evidence(root)


def read(root: Path, split: str | None) -> MapExport:
    """The rows of all metadata or Parquet files; the classes are those of id2label.json."""
    entries = [entry for path in _METADATA.find(root) for entry in _entries(path, root)]
    if not entries:
        entries = [
            Entry(image, part, maps=(label,))
            for image, label, part in unpack_parquet(_PARQUET.find(root), root, _LABEL_COLUMNS)
        ]
    require_any(entries, root, "no row in a metadata or Parquet file; expected images and masks")
    labels = _classes(root) or labels_of_maps(root, [entry.maps[0] for entry in entries])
    return MapExport(entries, labels)


def _rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        return list(read_csv(path))
    rows = read_json_lines(path, "Hugging Face")
    if number := next((i for i, row in enumerate(rows, start=1) if not isinstance(row, dict)), None):
        raise UserError(f"{path}: row {number} is no JSON object; expected columns; correct it")
    return rows


def _entries(path: Path, root: Path) -> list[Entry]:
    entries = []
    for number, row in enumerate(_rows(path), start=1):
        files = []
        for kind, columns in (
            ("image", ("file_name", "image_file_name", "image")),
            ("mask", _mask_columns(row)),
        ):
            name = next((str(row[column]) for column in columns if row.get(column)), None)
            if name is None:
                raise UserError(
                    f"{path}: row {number} names no {kind}; expected columns file_name and label_file_name; add them"
                )
            file = path.parent / name.replace("\\", "/")
            if not Path(os.path.abspath(file)).is_relative_to(os.path.abspath(root)):
                raise UserError(
                    f"{path}: row {number} names {name!r}, which leaves {root}; expected a file in it"
                )
            if not file.is_file():
                raise UserError(
                    f"{path}: row {number} names {name!r}, no such file; add the {kind}, or remove the row"
                )
            files.append(file)
        entries.append(Entry(files[0], standard_split(row.get("split")), maps=(files[1],), source=path))
    return entries


def _mask_columns(row: dict[str, Any]) -> list[str]:
    named = [f"{name}{suffix}" for name in _LABEL_COLUMNS for suffix in ("_file_name", "")]
    others = [
        name
        for name in row
        if isinstance(name, str) and name.endswith("_file_name") and name != "image_file_name"
    ]
    return [*named, *others]


def _classes(root: Path) -> LabelSpace | None:
    """The classes of id2label.json, or label2id or classes in it."""
    path = next(iter(glob_visible(root, "id2label.json", "*/id2label.json", "*id2label*.json")), None)
    if path is None:
        return None
    values = read_json(path, "Hugging Face")
    try:
        pairs = enumerate(values) if isinstance(values, list) else values.items()
        rows = [(str(name), int(raw), None) for raw, name in pairs]
    except (AttributeError, TypeError, ValueError):
        raise UserError(
            f'{path}: not {{"value": "class"}}; expected names by pixel value; correct it'
        ) from None
    return map_labels(root, sorted(rows, key=lambda row: row[1]))
