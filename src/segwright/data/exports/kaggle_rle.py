"""CSV files with run lengths, as competitions on Kaggle use them: a row per object, or per image and class.

``EncodedPixels`` holds pairs of start and length; the pixels are counted from 1, down the columns. Only the files of
the Sartorius competition (columns ``annotation``, ``width``, ``height``) and of UW-Madison (``id``, ``class``,
``segmentation``) count along the rows.

An image has no object if its row has no run lengths (Airbus, TGS salt), or if it has no row in a file whose rows all
have run lengths (Severstal). In a file with rows without run lengths, images without a row were not annotated. A class
is declared by any row that names it, with run lengths or without.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from segwright.data.exports.entries import Entry, ObjectExport, category_ids, splits_of
from segwright.data.exports.files_of_export import ImageFiles, glob_visible, read_text
from segwright.data.exports.splits import split_of_path, standard_split
from segwright.data.reading.file_lists import IMAGE_EXTENSIONS
from segwright.errors import UserError
from segwright.wording import count_of

NAME, TITLE, SPECIFIC = "kaggle_rle", "run lengths in CSV (Kaggle)", True
_IMAGE = (
    "imageid",
    "image_id",
    "image",
    "img_id",
    "id",
    "img",
    "imageid_classid",
    "image_label",
    "filename",
    "file_name",
)
_RUNS = (
    "encodedpixels",
    "encoded_pixels",
    "rle",
    "rle_mask",
    "encoding",
    "segmentation",
    "annotation",
    "mask_rle",
)
_CLASS = ("classid", "class_id", "class", "label", "category", "cell_type", "classname", "class_name")


def recognize(root: Path) -> str | None:
    """CSV files with a column of images and one of run lengths."""
    files = _files(root)
    return None if not files else f"{files[0].relative_to(root)} has a column of run lengths"


def _files(root: Path) -> list[Path]:
    """The tables of run lengths, without examples of a submission: their run lengths are no annotations."""
    paths = [path for path in glob_visible(root, "*.csv", "*/*.csv") if "submission" not in path.stem.lower()]
    return [path for path in paths if _columns(_header(path)) is not None]


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return next(csv.reader([file.readline()]), [])
    except OSError:
        return []


def _columns(header: list[str]) -> tuple[str, str, str | None] | None:
    """The columns of image, run lengths and class; None if the first two are missing."""
    names = {name.strip().lower(): name for name in header}
    image = next((names[name] for name in _IMAGE if name in names), None)
    runs = next((names[name] for name in _RUNS if name in names), None)
    label = next((names[name] for name in _CLASS if name in names and names[name] != image), None)
    return None if image is None or runs is None else (image, runs, label)


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of the CSV files, and those beside them that have no row, if these are images without objects.

    A class is declared by any row that names it, with run lengths or without.
    """
    files = _files(root)
    if not files:
        raise UserError(
            f"{root}: no CSV file with run lengths; expected columns ImageId and EncodedPixels; add it"
        )
    images = ImageFiles(root)
    rows_of: dict[Path, list[dict[str, Any]]] = {}
    source_of: dict[Path, Path] = {}
    labels: set[str] = set()
    for path in files:
        for image, label, row in _rows(path, images):
            labels.add(label)
            source_of.setdefault(image, path)
            rows = rows_of.setdefault(image, [])
            if row:
                rows.append({"id": len(rows) + 1, **row})
    kept, id_of = category_ids(sorted(labels - {""}, key=_natural) or ["object"])
    for rows in rows_of.values():
        for row in rows:
            row["category_id"] = id_of[row.pop("label")]
    notes = _add_unlisted(images, rows_of, source_of)
    entries = [
        Entry(image, _split(source_of[image], image, root), None, tuple(rows), source=source_of[image])
        for image, rows in sorted(rows_of.items())
    ]
    return ObjectExport(entries, kept, declared=splits_of(entries), notes=notes)


def _add_unlisted(
    images: ImageFiles, rows_of: dict[Path, list[dict[str, Any]]], source_of: dict[Path, Path]
) -> list[str]:
    """Add the images without a row that have no object, and tell them per CSV file."""
    source_of_folder = {image.parent: source for image, source in source_of.items()}
    has_empty = {source_of[image] for image, rows in rows_of.items() if not rows}
    unlisted: dict[Path, list[Path]] = {}
    for image in images.paths:
        if image not in rows_of and image.parent in source_of_folder:
            unlisted.setdefault(source_of_folder[image.parent], []).append(image)
    notes = []
    for source, paths in unlisted.items():
        if source in has_empty:  # then an image without a row was not annotated
            continue
        notes.append(
            f"{source}: has no row for {paths[0].relative_to(images.root)} ({count_of(len(paths), 'such image')}); "
            "read as images without objects, because no row lacks run lengths; move images that were not annotated "
            "to another folder"
        )
        rows_of |= {path: [] for path in paths}
        source_of |= dict.fromkeys(paths, source)
    return notes


def _natural(text: str) -> tuple[int, int, str]:
    return (0, int(text), "") if text.isdigit() else (1, 0, text)


def _split(path: Path, image: Path, root: Path) -> str | None:
    by_folder = split_of_path(image, root)
    return by_folder or next(
        (s for word in path.stem.split("_") if (s := standard_split(word)) == "val"), None
    )


def _rows(path: Path, images: ImageFiles) -> list[tuple[Path, str, dict[str, Any] | None]]:
    """(image, class or "", object or None) of each line."""
    columns = _columns(_header(path))
    assert columns is not None
    image_column, runs_column, class_column = columns
    names = {name.strip().lower() for name in _header(path)}
    along_rows = {"annotation", "width", "height"} <= names or names == {"id", "class", "segmentation"}
    order = {"order": "rows"} if along_rows else {}
    rows: list[tuple[Path, str, dict[str, Any] | None]] = []
    for number, values in enumerate(csv.DictReader(io.StringIO(read_text(path))), start=2):
        where = f"line {number}"
        name, text = values.get(image_column), values.get(runs_column)
        if not name or text is None:
            raise UserError(
                f"{path}: {where} is cut; expected {image_column} and {runs_column}; export it again"
            )
        label = str(values.get(class_column) or "") if class_column else ""
        image = _find(images, name)
        if image is None and "_" in name and class_column is None:  # ImageId_ClassId
            name, _, label = name.rpartition("_")
            image = _find(images, name)
        if image is None:
            raise UserError(
                f"{path}: {where} names the image {name!r}, and {images.root} contains no such file; add the image, or "
                "remove the row"
            )
        row = _row(text, label or "object", path, where)
        if row is not None:
            label = row["label"]
            row["segmentation"] |= order
        rows.append((image, label, row))
    return rows


def _row(text: str, label: str, path: Path, where: str) -> dict[str, Any] | None:
    if text.strip() in ("", "-1", "nan", "NaN", "[]"):
        return None
    try:
        starts = [int(value) for value in text.replace(",", " ").strip("[] ").split()]
    except ValueError:
        raise UserError(
            f"{path}: {where} has no run lengths but {text[:24]!r}; expected numbers; correct it"
        ) from None
    return {"label": label, "where": where, "segmentation": {"starts": starts}}


def _find(images: ImageFiles, name: str) -> Path | None:
    if Path(name).suffix.lower() in IMAGE_EXTENSIONS:
        return images.find(name)
    return next((path for extension in IMAGE_EXTENSIONS if (path := images.find(name + extension))), None)
