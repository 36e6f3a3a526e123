"""Pixels of each pair of segments in the frames of a sequence: what the scores of sequences are computed from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.rle import run_starts
from segwright.metrics.arrays import check_equal_sizes

DIVISOR = 1 << 16
"""A segment id of a sequence is class index x ``DIVISOR`` + instance number; the instance number is the track."""


@dataclass(frozen=True, slots=True)
class SegmentPairs:
    """The pairs (true segment, predicted segment) that share pixels, sorted; segment -1 is void.

    Three arrays int64 [K]: the segment ids of the ground truth and of the prediction, and the number of pixels.
    """

    truth: NDArray[np.int64]
    prediction: NDArray[np.int64]
    pixels: NDArray[np.int64]

    @classmethod
    def of(cls, truth: NDArray[Any], prediction: NDArray[Any]) -> SegmentPairs:
        """The pairs of one frame, from two maps of segment ids [H, W]; ``ValueError`` for unequal sizes."""
        check_equal_sizes(prediction, truth)
        start = run_starts(truth, prediction)
        length = np.diff(start, append=truth.size)
        true, predicted = (
            values.reshape(-1)[start].astype(np.int64).clip(-1) for values in (truth, prediction)
        )
        return cls._counted(true, predicted, length)

    @classmethod
    def sum(cls, parts: Iterable[SegmentPairs]) -> SegmentPairs:
        """The pairs of several frames: the same id is the same segment in all of them."""
        tables = [*parts]
        truth, prediction, pixels = (
            np.concatenate([getattr(table, name) for table in tables] or [np.zeros(0, np.int64)])
            for name in ("truth", "prediction", "pixels")
        )
        return cls._counted(truth, prediction, pixels)

    @classmethod
    def _counted(
        cls, truth: NDArray[np.int64], prediction: NDArray[np.int64], pixels: NDArray[np.int64]
    ) -> SegmentPairs:
        # Both ids fit 32 bits, so a pair is one number.
        keys, index = np.unique((truth + 1) << 32 | (prediction + 1), return_inverse=True)
        counts = np.zeros(len(keys), np.int64)
        np.add.at(counts, index.reshape(-1), pixels)
        return cls((keys >> 32) - 1, (keys & 0xFFFFFFFF) - 1, counts)


def areas(ids: NDArray[np.int64], pixels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(distinct ids, sorted; the number of pixels of each)."""
    distinct, index = np.unique(ids, return_inverse=True)
    totals = np.zeros(len(distinct), np.int64)
    np.add.at(totals, index.reshape(-1), pixels)
    return distinct, totals
