"""The file of the error counts of a split: one compressed .npz, which is only valid for one model and one dataset."""

from __future__ import annotations

import io
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from segwright.analysis.errors.objects import Example
from segwright.analysis.errors.split_errors import ImageErrors, SplitErrors
from segwright.files import atomic_write, nan_to_null
from segwright.labels import LabelSpace

FORMAT = 1  # raised when the meaning of a count changes: older files are then computed again


def write_errors(path: Path, errors: SplitErrors, key: str) -> None:
    """Write the counts; ``key`` says which model and which images they are of."""
    images = errors.images
    header = {
        "format": FORMAT,
        "key": key,
        "names": [image.name for image in images],
        "examples": [asdict(example) for example in errors.examples],
    }
    arrays: dict[str, Any] = {
        "header": np.frombuffer(json.dumps(nan_to_null(header)).encode(), np.uint8),
        "index": np.array([image.index for image in images], np.int64),
        "image_classes": np.stack([image.classes for image in images]),
        "image_zones": np.stack([image.zones for image in images]),
        "image_confusion": np.array([image.confusion for image in images], np.int64),
        **{name: getattr(errors.confusions, name) for name in _CONFUSIONS},
        "zones": errors.boundaries.zones,
        "distances": errors.boundaries.distances,
        "sizes": errors.sizes.counts,
        "causes": errors.causes,
    }
    if errors.has_segments:
        arrays["image_segments"] = np.stack([_present(image.segments) for image in images])
        arrays["image_causes"] = np.stack([_present(image.causes) for image in images])

    def write(part: Path) -> None:
        with open(part, "wb") as file:
            np.savez_compressed(file, **arrays)

    atomic_write(path, write)


def read_errors(path: Path, labels: LabelSpace, key: str) -> SplitErrors | None:
    """The counts that ``write_errors`` wrote; None if there are none, or if they are of another model or other data.

    A key that ends with "*" stands for any key with this beginning.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays["header"].tobytes())
    except (OSError, ValueError, KeyError, BadZipFile):
        return None
    if header.get("format") != FORMAT or not _fits(header["key"], key):
        return None
    errors = SplitErrors(labels)
    if arrays["zones"].shape != errors.boundaries.zones.shape:
        return None
    for name in _CONFUSIONS:
        setattr(errors.confusions, name, arrays[name])
    errors.boundaries.zones, errors.boundaries.distances = arrays["zones"], arrays["distances"]
    errors.sizes.counts, errors.causes = arrays["sizes"], arrays["causes"]
    errors.examples = [_example(row) for row in header["examples"]]
    errors.images = [_image(arrays, position, name) for position, name in enumerate(header["names"])]
    return errors


_CONFUSIONS = ("pixels", "images", "large", "most", "most_pixels")


def _fits(key: str, wanted: str) -> bool:
    return key.startswith(wanted[:-1]) if wanted.endswith("*") else key == wanted


def _present(value: Any) -> Any:
    assert value is not None
    return value


def _example(row: dict[str, Any]) -> Example:
    ids = {name: tuple(row[name]) for name in ("true_ids", "predicted_ids")}
    return Example(**{**row, **ids, "iou": math.nan if row["iou"] is None else row["iou"]})


def _image(arrays: dict[str, Any], position: int, name: str) -> ImageErrors:
    row, column, pixels = arrays["image_confusion"][position].tolist()
    has_segments = "image_segments" in arrays
    return ImageErrors(
        int(arrays["index"][position]),
        name,
        arrays["image_classes"][position],
        arrays["image_zones"][position],
        (row, column, pixels),
        arrays["image_segments"][position] if has_segments else None,
        arrays["image_causes"][position] if has_segments else None,
    )
