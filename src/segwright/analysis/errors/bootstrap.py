"""The paired bootstrap: how much a difference between two models depends on the images of the split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Score = Callable[[Values], Values]
"""Turns sums of counts over images [R, ...] into one or more scores per resample, [R] or [R, K]."""

_BLOCK = 50  # resamples at once: bounds memory


@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """The difference B - A of a score, and the interval that contains it in ``confidence`` of all resamples.

    ``low`` and ``high`` are percentiles; scalars or arrays as the score is. NaN where the score is undefined.
    """

    difference: Values
    low: Values
    high: Values
    confidence: float
    resamples: int


def paired_bootstrap(
    first: NDArray[np.generic],
    second: NDArray[np.generic],
    score: Score,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The percentile interval of score(B) - score(A), by resampling images with replacement.

    ``first`` and ``second``: counts of both models per image, [N, ...], in the same order of images. A resample takes
    the same N images of both, so what makes an image hard for both models cancels. The score is computed from the sums
    of the counts of each resample, exactly as over the whole split. The same seed gives the same interval.
    Efron and Tibshirani: An Introduction to the Bootstrap, 1993. ``ValueError`` for unequal or no images.
    """
    if first.shape != second.shape or not len(first):
        raise ValueError(
            f"counts are {first.shape} and {second.shape}; expected equal shapes and at least one image"
        )
    images = len(first)
    random = np.random.default_rng(seed)
    flat = [np.asarray(counts, np.float64).reshape(images, -1) for counts in (first, second)]
    ones = np.ones((1, images))
    difference = np.asarray(_difference(ones, flat, first.shape[1:], score)[0])
    differences = []
    for start in range(0, resamples, _BLOCK):
        count = min(_BLOCK, resamples - start)
        weights = random.multinomial(images, np.full(images, 1 / images), size=count).astype(np.float64)
        differences.append(_difference(weights, flat, first.shape[1:], score))
    low, high = _percentiles(np.concatenate(differences), confidence)
    return Interval(difference, low, high, confidence, resamples)


def _difference(weights: Values, counts: list[Values], shape: tuple[int, ...], score: Score) -> Values:
    first, second = (score((weights @ values).reshape(-1, *shape)) for values in counts)
    return second - first


def _percentiles(values: Values, confidence: float) -> tuple[Values, Values]:
    """Percentiles over resamples [R, ...], without those in which a score is undefined; NaN if it always is."""
    tail = 50 * (1 - confidence)
    defined = np.asarray(np.isfinite(values).any(0))
    filled = np.where(defined, values, 0.0)
    low, high = np.nanpercentile(filled, (tail, 100 - tail), axis=0)
    return np.where(defined, low, np.nan), np.where(defined, high, np.nan)
