"""The scores of two models on the same images, and the bootstrap intervals of their differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.analysis.errors.bootstrap import Interval, Score, paired_bootstrap
from segwright.analysis.errors.split_errors import (
    CORRECT,
    TRUTH,
    class_iou,
    class_pq,
    mean_of_classes,
    ratios,
)

Values = NDArray[np.float64]

PIXEL_SCORES = ("miou", "pixel_accuracy", "class_accuracy")
SEGMENT_SCORES = ("pq", "sq", "rq")


@dataclass(frozen=True, slots=True, eq=False)
class ScorePair:
    """One score of two models, fractions 0..1: its values, and the interval of ``second - first``; NaN if undefined."""

    first: float
    second: float
    low: float = np.nan
    high: float = np.nan

    @property
    def difference(self) -> float:
        """``second - first``."""
        return self.second - self.first

    @property
    def is_clear(self) -> bool:
        """Whether the interval does not contain 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True, eq=False)
class ComparedScores:
    """Scores of two models from counts per image: ``totals`` by name, ``classes`` in the order of the label space, and
    the main score of each image, ``first`` and ``second`` [N].
    """

    totals: dict[str, ScorePair]
    classes: list[ScorePair]
    first: Values
    second: Values
    resamples: int
    confidence: float


def compare_pixels(first: NDArray[Any], second: NDArray[Any], *, resamples: int = 1000) -> ComparedScores:
    """mIoU, pixel accuracy, class accuracy and the IoU of each class, from counts [N, classes, 3] of both models
    (``ImageErrors.classes``); each resample recomputes the scores from the sums of its images.
    """
    return _compare(first, second, pixel_scores, PIXEL_SCORES, resamples)


def compare_segments(first: NDArray[Any], second: NDArray[Any], *, resamples: int = 1000) -> ComparedScores:
    """PQ, SQ, RQ and the PQ of each class, from counts [N, classes, 4] of both models (``ImageErrors.segments``)."""
    return _compare(first, second, segment_scores, SEGMENT_SCORES, resamples)


def pixel_scores(counts: Values) -> Values:
    """``PIXEL_SCORES`` and the IoU of each class, [..., 3 + classes], of counts [..., classes, 3]."""
    correct, truth = counts[..., CORRECT], counts[..., TRUTH]
    iou = class_iou(counts)
    totals = (
        mean_of_classes(iou),
        ratios(np.asarray(correct.sum(-1)), np.asarray(truth.sum(-1))),
        mean_of_classes(ratios(correct, truth)),
    )
    return np.concatenate([np.stack(totals, axis=-1), iou], axis=-1)


def segment_scores(counts: Values) -> Values:
    """``SEGMENT_SCORES`` and the PQ of each class, [..., 3 + classes], of counts [..., classes, 4]."""
    iou, matches = counts[..., 0], counts[..., 1]
    quality = class_pq(counts)
    absent = np.isnan(quality)
    segmentation = np.where(absent, np.nan, np.nan_to_num(ratios(iou, matches)))
    recognition = ratios(matches, matches + 0.5 * counts[..., 2] + 0.5 * counts[..., 3])
    totals = [mean_of_classes(values) for values in (quality, segmentation, recognition)]
    return np.concatenate([np.stack(totals, axis=-1), quality], axis=-1)


def _compare(
    first: NDArray[Any], second: NDArray[Any], score: Score, names: tuple[str, ...], resamples: int
) -> ComparedScores:
    counts = [np.asarray(values, np.float64) for values in (first, second)]
    totals = [score(values.sum(0)[None])[0] for values in counts]
    interval: Interval = paired_bootstrap(counts[0], counts[1], score, resamples=resamples)
    pairs = [
        ScorePair(*map(float, values)) for values in zip(*totals, interval.low, interval.high, strict=True)
    ]
    images = [score(values)[:, 0] for values in counts]
    return ComparedScores(
        dict(zip(names, pairs, strict=False)),
        pairs[len(names) :],
        images[0],
        images[1],
        resamples,
        interval.confidence,
    )
