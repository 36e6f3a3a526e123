"""Lists of predicted masks: text files as Cityscapes and Mapillary Vistas expect them, one mask per line."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.formats.coco_rows import posix_name
from segwright.data.reading.label_maps import read_map
from segwright.errors import UserError


@dataclass(frozen=True, slots=True)
class PredictedMask:
    """A line of a list: the file of a mask, where any value but 0 is inside, its label and its score."""

    path: Path
    label: int
    score: float


def read_mask_list(source: Path, label_of: Callable[[str], int]) -> list[PredictedMask]:
    """The masks of a list with lines "mask.png label score"; the paths are relative to the list.

    ``label_of`` gives the label of its text, or raises ``ValueError`` or ``KeyError``. Lines that start with # are
    comments. ``UserError`` names a line of another form.
    """
    masks = []
    for number, line in enumerate(source.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if line.startswith("#"):
            continue
        try:
            name, label, score = posix_name(line).split(" ")
            mask = PredictedMask(source.parent / name, label_of(label), float(score))
            if Path(name).is_absolute() or not math.isfinite(mask.score):
                raise ValueError
        except (ValueError, OverflowError, KeyError):
            raise UserError(
                f"{source}: line {number} is {line!r}; expected 'mask.png label score' with a path from the list; "
                "write it again"
            ) from None
        masks.append(mask)
    return masks


def pixels_by_id(masks: list[PredictedMask], ids: NDArray[Any], count: int) -> NDArray[np.int64]:
    """The number of pixels of each id 0 to ``count`` - 1 of a map inside each mask, int64 [masks, count]."""
    rows = [_pixels_by_id(mask.path, ids, count) for mask in masks]
    return np.array(rows, dtype=np.int64).reshape(-1, count)


def _pixels_by_id(path: Path, ids: NDArray[Any], count: int) -> NDArray[np.int64]:
    if not path.is_file():
        raise UserError(f"{path}: does not exist; expected the mask that a list names; write it again")
    mask = read_map(path)
    if mask.shape != ids.shape:
        raise UserError(
            f"{path}: {mask.shape[1]}x{mask.shape[0]}; expected {ids.shape[1]}x{ids.shape[0]}, the size of its ground "
            "truth; write it again"
        )
    return np.bincount(ids[mask != 0], minlength=count)
