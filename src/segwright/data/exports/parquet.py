"""Parquet files of Hugging Face datasets: their images and label maps, unpacked into a cache folder."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from pathlib import Path, PurePosixPath
from typing import Any

from segwright.data.exports.embedded_images import unpacked_folder, write_image
from segwright.data.exports.splits import split_of_file, standard_split
from segwright.errors import UserError, first_line


def unpack_parquet(
    files: Sequence[Path], root: Path, label_columns: Sequence[str]
) -> list[tuple[Path, Path, str | None]]:
    """(image file, label map file, split) of each row; the files are written once to the folder for temporary files."""
    rows = []
    for path in files:
        split, folder = split_of_file(path, root), unpacked_folder(path)
        rows += [(image, label, own or split) for image, label, own in _unpack(path, folder, label_columns)]
    return rows


def _unpack(path: Path, folder: Path, label_columns: Sequence[str]) -> list[tuple[Path, Path, str | None]]:
    """(image file, label map file, split that the row states) of each row."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise UserError(
            f"{path}: Parquet files need pyarrow; install it with pip install 'segwright[parquet]'"
        ) from None
    try:
        file = parquet.ParquetFile(path)
        names = file.schema_arrow.names
        image_column = next((name for name in ("image", "pixel_values", "img") if name in names), None)
        labels = [name for name in label_columns if name in names]
        label_column = min(labels, key=lambda name: _is_number(file, name), default=None)
        if image_column is None or label_column is None:
            raise UserError(
                f"{path}: has the columns {', '.join(names)}; expected image and label (or mask); rename them"
            )
        pairs, number, used = [], 0, set[str]()
        columns = [name for name in names if name in (image_column, label_column, "split")]
        for batch in file.iter_batches(batch_size=64, columns=columns):
            for row in batch.to_pylist():
                stem = _stem(row[image_column], used) or f"{path.stem}-{number:06d}"
                used.add(stem)
                image = _write(row[image_column], folder / "images" / stem, f"{path}: row {number}")
                label = _write(row[label_column], folder / "labels" / stem, f"{path}: row {number}")
                pairs.append((image, label, standard_split(row.get("split"))))
                number += 1
    except UserError:
        raise
    except Exception as error:  # pyarrow raises many kinds for a damaged file
        reason = first_line(error)
        raise UserError(
            f"{path}: not a Parquet file that can be read ({reason}); download it again"
        ) from None
    return pairs


def _is_number(file: Any, column: str) -> bool:
    """Whether a column has numbers, as the class of a whole image."""
    return str(file.schema_arrow.field(column).type).startswith(("int", "uint", "float", "double"))


def _stem(value: Any, used: Set[str]) -> str | None:
    """The name of the image file that a row was made from; None if it is unknown, unsafe or taken."""
    stated = value.get("path") if isinstance(value, dict) else None
    stem = PurePosixPath(str(stated or "").replace("\\", "/")).stem
    is_safe = re.fullmatch(r"(?!\.)[^\x00-\x1f\x7f<>:\"|?*]{1,200}", stem) is not None
    return stem if is_safe and stem not in used else None


def _write(value: Any, stem: Path, where: str) -> Path:
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise UserError(
            f"{where} has no image bytes; expected encoded images in the file; save the dataset with them"
        )
    return write_image(data, stem)
