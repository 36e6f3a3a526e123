"""COCO run-length encoding (RLE): encode all segments of a map in one pass, read the masks of annotations."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.limits import MAX_PIXELS
from segwright.samples import index_of

RLE = dict[str, Any]
"""A mask in the form of pycocotools: {"size": [height, width], "counts": compressed bytes}; runs go down columns."""

MAX_DIGITS = 7  # of 5 bits each; a run of more digits does not fit 32 bits


def run_starts(*maps: NDArray[Any]) -> NDArray[np.int64]:
    """Flat indices of the pixels, in row-major order, where any of the maps [H, W] changes its value; always with 0.

    Between two of these pixels all maps are constant. Label maps consist of long runs, so counting runs weighted with
    their lengths is much faster than counting pixels.
    """
    is_start = np.zeros(maps[0].size, dtype=bool)
    is_start[:1] = True
    for values in maps:
        flat = values.reshape(-1)
        is_start[1:] |= flat[1:] != flat[:-1]
    return np.flatnonzero(is_start)


def encode_masks(ids: NDArray[Any], wanted: Sequence[int]) -> list[RLE]:
    """The mask ``ids == id`` of each wanted id of a map [H, W], encoded as pycocotools does.

    One pass over the map, for any number of ids; no mask is created.
    """
    # OpenCV transposes five times faster than numpy.
    transposed = np.asarray(cv2.transpose(np.ascontiguousarray(ids, dtype=np.int32)))
    start = run_starts(transposed)
    owner = index_of(transposed.reshape(-1)[start], wanted)
    end = np.append(start[1:], ids.size)
    order = np.argsort(owner, kind="stable")
    order = order[np.searchsorted(owner[order], 0) :]  # skips the runs of ids that are not wanted (-1)
    owner, start, end = owner[order], start[order], end[order]
    previous_end = np.where(owner == np.append(-1, owner[:-1]), np.append(0, end[:-1]), 0)
    counts = np.stack([start - previous_end, end - start], axis=1)
    bounds = np.searchsorted(owner, np.arange(len(wanted) + 1))
    runs_of_masks = []
    for low, high in pairwise(bounds.tolist()):
        rest = ids.size - (end[high - 1] if high > low else 0)
        runs = counts[low:high].reshape(-1)
        runs_of_masks.append(np.append(runs, rest) if rest else runs)
    return _compress(runs_of_masks, (ids.shape[0], ids.shape[1]))


def encode_crop(mask: NDArray[Any], corner: tuple[int, int], size: tuple[int, int]) -> RLE:
    """A mask [h, w] that is a part of an image of ``size`` (height, width), encoded for the whole image.

    ``corner``: the (row, column) in the image of its first pixel. Outside of it the mask is empty.
    """
    # Column by column, each with a 0 before and after, so that every column has runs of its own.
    columns = np.pad(np.asarray(mask, dtype=bool).T, ((0, 0), (1, 1))).reshape(-1)
    edges = np.flatnonzero(columns[1:] != columns[:-1])
    column, row = np.divmod(edges, mask.shape[0] + 2)
    edges = (corner[1] + column) * size[0] + corner[0] + row
    touching = edges[1:-1:2] == edges[2::2]  # a run that goes on at the top of the next column
    kept = np.ones(len(edges), dtype=bool)
    kept[1:-1:2] &= ~touching
    kept[2::2] &= ~touching
    runs = np.diff(edges[kept], prepend=0, append=size[0] * size[1])
    return _compress([runs if runs[-1] else runs[:-1]], size)[0]


def annotation_to_rle(segmentation: Any, size: tuple[int, int]) -> RLE:
    """The RLE of a COCO annotation: polygons [[x, y, ...], ...], or {size, counts}, compressed or not.

    ``ValueError`` (or ``TypeError``, ``KeyError``, ...) for anything else, and for runs that do not fill ``size``
    (height, width), or a ``size`` above ``MAX_PIXELS``: pycocotools would read and write beyond the mask.
    """
    if not 0 < size[0] * size[1] <= MAX_PIXELS:
        raise ValueError(f"its image is said to have {size[1]}x{size[0]} pixels")
    if not isinstance(segmentation, dict):
        polygons = _polygons(segmentation)
        return _fill_polygons([polygon for polygon in polygons if len(polygon) >= 6], size)
    counts = segmentation["counts"]
    if isinstance(counts, list) and not all(_is_number(run) and run == int(run) for run in counts):
        raise ValueError("its counts are not whole numbers")
    if not isinstance(counts, list | str | bytes):
        raise ValueError(f"its counts are a {type(counts).__name__}")
    runs = np.array(counts, dtype=np.int64) if isinstance(counts, list) else _decompress(counts)
    if tuple(segmentation["size"]) != size:
        raise ValueError(f"its size is {segmentation['size']}, the image {list(size)}")
    if runs.ndim != 1 or (runs < 0).any() or int(runs.sum()) != size[0] * size[1]:
        raise ValueError(f"its runs sum to {int(runs.sum())}, the image has {size[0] * size[1]} pixels")
    return _compress([runs], size)[0]


def is_outline(segmentation: Any) -> bool:
    """Whether a segmentation is RLE, or polygons of which at least one has three points or more."""
    return isinstance(segmentation, dict) or any(len(polygon) >= 6 for polygon in _polygons(segmentation))


def decode_mask(rle: RLE) -> NDArray[np.bool_]:
    """The mask, bool [H, W]."""
    from pycocotools import mask as mask_api

    with warnings.catch_warnings():
        # numpy warns about the way in which pycocotools passes arrays.
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.asarray(mask_api.decode(rle), dtype=bool)


def rle_area(rle: RLE) -> int:
    """The number of pixels of a mask."""
    from pycocotools import mask as mask_api

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as in ``decode_mask``
        return int(mask_api.area(rle))


def _compress(runs_of_masks: list[NDArray[np.int64]], size: tuple[int, int]) -> list[RLE]:
    from pycocotools import mask as mask_api

    if not runs_of_masks:
        return []
    uncompressed = [{"size": size, "counts": runs} for runs in runs_of_masks]
    rles: list[RLE] = mask_api.frPyObjects(uncompressed, *size)
    return rles


def _polygons(segmentation: Any) -> list[list[float]]:
    """The polygons of a segmentation; ``ValueError`` if it is no list of lists of coordinates in pairs."""
    if not isinstance(segmentation, list):
        raise ValueError(f"a {type(segmentation).__name__} is neither polygons nor RLE")
    for polygon in segmentation:
        if not isinstance(polygon, list):
            found = "RLE" if isinstance(polygon, dict) else f"a {type(polygon).__name__}"
            raise ValueError(f"a list of {found} is neither polygons nor RLE")
        if len(polygon) % 2 or not all(map(_is_number, polygon)):
            raise ValueError("a polygon is not a list of numbers x, y, x, y, ...")
    return segmentation


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _fill_polygons(polygons: list[Any], size: tuple[int, int]) -> RLE:
    """The union of polygons as pycocotools fills them.

    Far coordinates are refused: pycocotools walks along every pixel of an edge, also outside of the image.
    """
    from pycocotools import mask as mask_api

    if not polygons:
        return _compress([np.array([size[0] * size[1]])], size)[0]
    limit = 100 + 10 * max(size)
    for polygon in polygons:
        points = np.asarray(polygon, dtype=np.float64)
        if not (np.isfinite(points).all() and (np.abs(points) <= limit).all()):
            raise ValueError(f"a coordinate is not finite, or far outside of {size[1]}x{size[0]} pixels")
    rle: RLE = mask_api.merge(mask_api.frPyObjects(polygons, *size))
    return rle


def _decompress(text: str | bytes) -> NDArray[np.int64]:
    """The runs of COCO's compressed counts.

    Each character holds 5 bits of a number; from the third number on, the difference to the number two before it.
    """
    data = text.encode() if isinstance(text, str) else text
    digits = np.frombuffer(data, dtype=np.uint8).astype(np.int64) - 48
    last = np.flatnonzero(digits & 32 == 0)  # the last digit of each number
    if not digits.size or digits.min() < 0 or digits.max() > 63 or last[-1:].tolist() != [digits.size - 1]:
        raise ValueError("its counts are not compressed run lengths")
    first = np.append(0, last[:-1] + 1)
    length = last - first + 1
    if length.max() > MAX_DIGITS:
        raise ValueError("its counts contain a number beyond 32 bits")
    shift = 5 * (np.arange(digits.size) - np.repeat(first, length))
    runs = np.add.reduceat((digits & 31) << shift, first)
    runs -= np.where(digits[last] & 16, np.int64(1) << 5 * length, 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs
