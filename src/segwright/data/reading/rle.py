"""Masks as COCO's run lengths: of all segments of a map in one pass, and of annotations as files hold them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.samples import index_of

RunLengths = dict[str, Any]
"""A mask as pycocotools knows it: {"size": [height, width], "counts": packed bytes}, runs down the columns."""

MOST_DIGITS = 7  # of 5 bits each: more than any run that fits 32 bits


def run_starts(*maps: NDArray[Any]) -> NDArray[np.int64]:
    """The pixels, row after row, at which a run begins in which no map changes; maps [H, W] of one size.

    They consist of long runs, so counting runs, weighted with their lengths, is much less than counting pixels.
    """
    first = np.zeros(maps[0].size, dtype=bool)
    first[:1] = True
    for each in maps:
        flat = each.reshape(-1)
        first[1:] |= flat[1:] != flat[:-1]
    return np.flatnonzero(first)


def encode(ids: NDArray[Any], wanted: Sequence[int]) -> list[RunLengths]:
    """The mask of each wanted id of a map [H, W], as pycocotools encodes it.

    One pass down the columns, whatever the number of ids; no mask is ever made.
    """
    # By OpenCV: numpy transposes five times slower.
    down = np.asarray(cv2.transpose(np.ascontiguousarray(ids, dtype=np.int32)))
    start = run_starts(down)
    place = index_of(down.reshape(-1)[start], wanted)
    end = np.append(start[1:], ids.size)
    order = np.argsort(place, kind="stable")
    order = order[np.searchsorted(place[order], 0) :]  # from the first that is wanted
    owner, start, end = place[order], start[order], end[order]
    before = np.where(owner == np.append(-1, owner[:-1]), np.append(0, end[:-1]), 0)
    counts = np.stack([start - before, end - start], axis=1)
    bounds = np.searchsorted(owner, np.arange(len(wanted) + 1))
    codes = []
    for low, high in pairwise(bounds.tolist()):
        rest = ids.size - (end[high - 1] if high > low else 0)
        runs = counts[low:high].reshape(-1)
        codes.append(np.append(runs, rest) if rest else runs)
    return _packed(codes, (ids.shape[0], ids.shape[1]))


def from_annotation(segmentation: Any, size: tuple[int, int]) -> RunLengths:
    """Run lengths of COCO polygons ([[x, y, ...], ...]) or run lengths ({size, counts}, plain or packed).

    ``ValueError`` (or ``TypeError``, ``KeyError``, ...) for anything else, and for runs that do not fill ``size``
    (height, width), of which pycocotools would read and write beyond the mask.
    """
    if not isinstance(segmentation, dict):
        return _filled([shape for shape in segmentation if len(shape) >= 6], size)
    counts = segmentation["counts"]
    runs = np.array(counts, dtype=np.int64) if isinstance(counts, list) else _unpacked(counts)
    if tuple(segmentation["size"]) != size:
        raise ValueError(f"its size is {segmentation['size']}, the image {list(size)}")
    if runs.ndim != 1 or (runs < 0).any() or int(runs.sum()) != size[0] * size[1]:
        raise ValueError(f"its runs sum to {int(runs.sum())}, the image has {size[0] * size[1]} pixels")
    return _packed([runs], size)[0]


def decode(code: RunLengths) -> NDArray[np.bool_]:
    """The mask, bool [H, W]."""
    from pycocotools import mask as coder

    with warnings.catch_warnings():
        # Of numpy, about how pycocotools hands arrays over.
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.asarray(coder.decode(code), dtype=bool)


def _packed(codes: list[NDArray[np.int64]], size: tuple[int, int]) -> list[RunLengths]:
    from pycocotools import mask as coder

    if not codes:
        return []
    found: list[RunLengths] = coder.frPyObjects([{"size": size, "counts": runs} for runs in codes], *size)
    return found


def _filled(shapes: list[Any], size: tuple[int, int]) -> RunLengths:
    """Polygons as pycocotools fills them, of which it would walk along every pixel, however far away."""
    from pycocotools import mask as coder

    if not shapes:
        return _packed([np.array([size[0] * size[1]])], size)[0]
    reach = 100 + 10 * max(size)
    for shape in shapes:
        points = np.asarray(shape, dtype=np.float64)
        if not (np.isfinite(points).all() and (np.abs(points) <= reach).all()):
            raise ValueError(f"a coordinate is no number, or far outside of {size[1]}x{size[0]} pixels")
    code: RunLengths = coder.merge(coder.frPyObjects(shapes, *size))
    return code


def _unpacked(text: str | bytes) -> NDArray[np.int64]:
    """The runs of COCO's packed form: 5 bits a character, from the third on the difference to the one before last."""
    data = text.encode() if isinstance(text, str) else text
    digits = np.frombuffer(data, dtype=np.uint8).astype(np.int64) - 48
    last = np.flatnonzero(digits & 32 == 0)
    if not digits.size or digits.min() < 0 or digits.max() > 63 or last[-1:].tolist() != [digits.size - 1]:
        raise ValueError("its counts are no packed run lengths")
    first = np.append(0, last[:-1] + 1)
    length = last - first + 1
    if length.max() > MOST_DIGITS:
        raise ValueError("its counts hold a number beyond 32 bits")
    shift = 5 * (np.arange(digits.size) - np.repeat(first, length))
    runs = np.add.reduceat((digits & 31) << shift, first)
    runs -= np.where(digits[last] & 16, np.int64(1) << 5 * length, 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs
