"""The class map of enlarged logits, without enlarging them where one class is certain to win.

Four neighboring logits are the corners of a cell. The class with the highest logit at all four corners also has the
highest one between them, because bilinear interpolation is monotonic. Most cells of a segmentation have such a class.
Only the pixels of the other cells, along the borders between classes, are interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Integer
from numpy.typing import NDArray

from segwright.labels import class_dtype, ignore_index
from segwright.models.layers.resize import upsample

_ROUNDING = np.float32(16 * np.finfo(np.float32).eps)
"""Two sums of the same four products differ by less than this part of the largest logit."""
_CACHE = 2**17  # values that fit the cache of a CPU
_WORTHWHILE = 0.25  # with a larger share of pixels to interpolate, it is faster to interpolate all


def clear_classes(
    logits: Float[NDArray[np.float32], "classes h w"], size: Sequence[int], *, align_corners: bool = False
) -> tuple[Integer[NDArray[np.integer], "height width"], Bool[NDArray[np.bool_], "height width"]]:
    """The class with the highest logit after ``upsample`` to ``size``; and the pixels where rounding decides it.

    The classes (uint8, or int32 above 255 classes) do not count at these pixels, which are all pixels if few cells are
    clear. ``logits``: finite, at least 2 x 2.
    """
    margin = _ROUNDING * max(abs(logits.min()), abs(logits.max()))
    best, alone = _highest(logits, margin)
    corners = (best[:-1, :-1], best[:-1, 1:], best[1:, :-1], best[1:, 1:])
    clear = alone[:-1, :-1] & alone[:-1, 1:] & alone[1:, :-1] & alone[1:, 1:]
    for corner in corners[1:]:
        clear &= corners[0] == corner
    (y, above, below), (x, left, right) = (
        _interpolation(old, new, align_corners) for old, new in zip(logits.shape[1:], size, strict=True)
    )
    classes = corners[0][:, x][y]
    undecided = np.zeros(classes.shape, np.bool_)
    pixels = np.flatnonzero(~clear[:, x][y])
    if not len(pixels):
        return classes, undecided
    if len(pixels) > _WORTHWHILE * classes.size:
        return classes, ~undecided
    names = _candidates(logits, ~clear, margin)
    values, width = logits[names].reshape(len(names), -1), logits.shape[2]
    for part in np.array_split(pixels, -(-len(pixels) * len(names) // _CACHE)):
        row, column = np.divmod(part, size[1])
        corner = y[row] * width + x[column]
        upper = values.take(corner, 1) * left[column] + values.take(corner + 1, 1) * right[column]
        corner += width
        lower = values.take(corner, 1) * left[column] + values.take(corner + 1, 1) * right[column]
        winner, alone = _highest(upper * above[row] + lower * below[row], margin)
        classes.flat[part] = names.take(winner, mode="clip")
        undecided.flat[part] = ~alone
    return classes, undecided


def _highest(
    values: Float[NDArray[np.float32], "classes ..."], margin: np.float32
) -> tuple[Integer[NDArray[np.integer], " ..."], Bool[NDArray[np.bool_], " ..."]]:
    """The class of the highest value, and whether all others are lower by more than ``margin``; else it is wrong."""
    dtype = class_dtype(ignore_index(len(values)))
    highest = (values >= np.maximum.reduce(values) - margin).astype(dtype)
    alone = np.add.reduce(highest, dtype=dtype) == 1
    highest *= np.arange(len(values), dtype=dtype).reshape(-1, *[1] * (values.ndim - 1))
    return np.add.reduce(highest, dtype=dtype), alone


def _candidates(
    logits: Float[NDArray[np.float32], "classes h w"],
    cells: Bool[NDArray[np.bool_], "rows columns"],
    margin: np.float32,
) -> Integer[NDArray[np.integer], " candidates"]:
    """The classes that can have the highest logit anywhere in these cells: no other is higher at all corners."""
    corners = [
        logits[:, top : top + cells.shape[0], left : left + cells.shape[1]][:, cells]
        for top in (0, 1)
        for left in (0, 1)
    ]
    lowest = np.minimum.reduce(corners).max(0)
    possible = (np.maximum.reduce(corners) >= lowest - 2 * margin).any(1)
    return np.flatnonzero(possible).astype(class_dtype(ignore_index(len(logits))))


@lru_cache(maxsize=32)  # of the last sizes; a quarter of the time of a small map
def _interpolation(
    old: int, new: int, align_corners: bool
) -> tuple[
    Int64[NDArray[np.int64], " new"], Float[NDArray[np.float32], " new"], Float[NDArray[np.float32], " new"]
]:
    """For each of ``new`` positions: the first of two neighbors among ``old`` ones, and the weights of both.

    The weights come from PyTorch, which upsamples four combs: each has a tooth at every fourth position.
    """
    combs = torch.eye(4)[torch.arange(old) % 4].T.reshape(1, 4, old, 1)
    weights = upsample(combs.repeat(1, 1, 1, 2), (new, 2), align_corners=align_corners)[0, ..., 0].numpy()
    steps = np.arange(new)
    position = steps * (old - 1) / max(new - 1, 1) if align_corners else (steps + 0.5) * old / new - 0.5
    # Rounding may have made the position cross a whole number.
    first = (np.floor(position).astype(np.int64) + np.array([[0], [-1], [1]])).clip(0, old - 2)
    sums = weights[first % 4, steps] + weights[(first + 1) % 4, steps]
    first = first[sums.argmax(0), steps]
    return first, weights[first % 4, steps], weights[(first + 1) % 4, steps]
