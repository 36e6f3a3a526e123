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
from pathlib import Path

from segwright.data.exports.annotations import OBJECT, Annotations, Shape
from segwright.data.exports.entries import ObjectExport
from segwright.data.exports.files_of_export import FormatFiles, read_csv
from segwright.data.exports.image_files import ImageFiles
from segwright.data.reading.file_lists import IMAGE_EXTENSIONS
from segwright.errors import UserError
from segwright.wording import count_of

NAME, TITLE, SPECIFIC = "kaggle_rle", "run lengths in CSV (Kaggle)", True
_IMAGE = ("imageid", "image_id", "image", "img_id", "id", "img", "imageid_classid", "image_label", "filename",
          "file_name")  # fmt: skip
_RUNS = ("encodedpixels", "encoded_pixels", "rle", "rle_mask", "encoding", "segmentation", "annotation",
         "mask_rle")  # fmt: skip
_CLASS = ("classid", "class_id", "class", "label", "category", "cell_type", "classname", "class_name")


def _is_table(path: Path) -> bool:
    """Whether a file is a table of run lengths; those of an example of a submission are no annotations."""
    return "submission" not in path.stem.lower() and _columns(_header(path)) is not None


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return next(csv.reader([file.readline()], skipinitialspace=True), [])
    except OSError:
        return []


def _columns(header: list[str]) -> tuple[str, str, str | None] | None:
    """The columns of image, run lengths and class; None if the first two are missing."""
    names = {name.strip().lower(): name for name in header}
    image = next((names[name] for name in _IMAGE if name in names), None)
    runs = next((names[name] for name in _RUNS if name in names), None)
    label = next((names[name] for name in _CLASS if name in names and names[name] != image), None)
    return None if image is None or runs is None else (image, runs, label)


_FILES = FormatFiles(
    ("*.csv", "*/*.csv"),
    accept=_is_table,
    shows="has a column of run lengths",
    missing="no CSV file with run lengths; expected columns ImageId and EncodedPixels",
)
recognize = _FILES.evidence


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of the CSV files, and those beside them that have no row, if these are images without objects."""
    annotations, labels = Annotations(root, TITLE), set[str]()
    for path in _FILES.require(root):
        labels |= _read(path, annotations)
    notes = _add_unlisted(annotations)
    export = annotations.export(sorted(labels - {""}, key=_natural) or [OBJECT], "the CSV file")
    export.entries.sort(key=lambda entry: entry.image)
    export.notes += notes
    return export


def _add_unlisted(annotations: Annotations) -> list[str]:
    """Add the images without a row that have no object, and tell them per CSV file."""
    source_of_folder = {image.path.parent: image.source for image in annotations.annotated}
    has_empty = {image.source for image in annotations.annotated if not image.objects}
    unlisted: dict[Path, list[Path]] = {}
    for path in annotations.images.paths:
        if annotations.known(path) is None and path.parent in source_of_folder:
            unlisted.setdefault(source_of_folder[path.parent], []).append(path)
    notes = []
    for source, paths in unlisted.items():
        if source in has_empty:  # then an image without a row was not annotated
            continue
        first = paths[0].relative_to(annotations.root)
        notes.append(
            f"{source}: has no row for {first} ({count_of(len(paths), 'such image')}); read as images without objects, "
            "because no row lacks run lengths; move images that were not annotated to another folder"
        )
        for path in paths:
            annotations.add(path, source)
    return notes


def _natural(text: str) -> tuple[int, int, str]:
    return (0, int(text), "") if text.isdigit() else (1, 0, text)


def _read(path: Path, annotations: Annotations) -> set[str]:
    """Add the objects of a CSV file; the classes that its rows name, with run lengths or without."""
    columns = _columns(_header(path))
    assert columns is not None
    image_column, runs_column, class_column = columns
    names = {name.strip().lower() for name in _header(path)}
    along_rows = {"annotation", "width", "height"} <= names or names == {"id", "class", "segmentation"}
    order = {"order": "rows"} if along_rows else {}
    labels = set[str]()
    for number, values in enumerate(read_csv(path), start=2):
        where = f"line {number}"
        name, text = values.get(image_column), values.get(runs_column)
        if not name or text is None:
            raise UserError(
                f"{path}: {where} is cut; expected {image_column} and {runs_column}; export it again"
            )
        label = str(values.get(class_column) or "") if class_column else ""
        image = _find(annotations.images, name)
        if image is None and "_" in name and class_column is None:  # ImageId_ClassId
            name, _, label = name.rpartition("_")
            image = _find(annotations.images, name)
        if image is None:
            raise UserError(
                f"{path}: {where} names the image {name!r}, and {annotations.root} contains no such file; add the "
                "image, or remove the row"
            )
        annotated = annotations.known(image) or annotations.add(image, path)
        if starts := _starts(text, f"{path}: {where}"):
            annotated.add(Shape(label, {"starts": starts, **order}), where)
        labels.add(label)
    return labels


def _starts(text: str, where: str) -> list[int]:
    """Pairs of start and length; none for a row without run lengths."""
    if text.strip() in ("", "-1", "nan", "NaN", "[]"):
        return []
    try:
        return [int(value) for value in text.replace(",", " ").strip("[] ").split()]
    except ValueError:
        raise UserError(
            f"{where} has no run lengths but {text[:24]!r}; expected numbers; correct it"
        ) from None


def _find(images: ImageFiles, name: str) -> Path | None:
    has_extension = Path(name).suffix.lower() in IMAGE_EXTENSIONS
    return images.find(name if has_extension else [name + extension for extension in IMAGE_EXTENSIONS])
