"""Calibration: whether a model that is 80 % sure is right in 80 % of the pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.metrics.arrays import added, ratio
from segwright.samples import Prediction, Sample


@dataclass(slots=True)
class Calibration:
    """Expected and maximum calibration error of the pixels, and the data of the reliability diagram.

    Pixels are put into ``bins`` of equal width by their confidence, the probability of the predicted class. The
    expected calibration error is the mean of |accuracy - mean confidence| of the bins, weighted by their pixels. Guo et
    al.: On Calibration of Modern Neural Networks, ICML 2017: a bin contains its upper bound, not its lower one. Ignored
    pixels, and pixels that are predicted as no class, count nowhere.

    Scores: ``calibration_error`` (ECE), ``max_calibration_error`` (MCE); ``class_calibration_error`` {name: ECE of the
    pixels predicted as this class}; ``calibration`` {bins: [upper bound], confidence, accuracy, counts}, lists over the
    bins, NaN where a bin is empty.
    """

    needs_uncertainty: ClassVar[bool] = True

    bins: int = 15
    counts: NDArray[np.int64] | None = field(default=None, init=False)  # [C, bins, 2]: pixels, correct ones
    confidence: NDArray[np.float64] | None = field(default=None, init=False)  # [C, bins]: sums
    names: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        """``UserError`` for a number of bins below 1."""
        if self.bins < 1:
            raise UserError(f"Calibration: bins is {self.bins}; expected at least 1")

    def add(self, prediction: Prediction, sample: Sample, labels: LabelSpace) -> dict[str, float]:
        """Count one image; its own calibration error."""
        if prediction.uncertainty is None:
            raise UserError(
                "Calibration: predictions without confidence; expected those of a model, as 'segwright evaluate' makes "
                "them; remove this metric"
            )
        truth, n = sample.semantic(), len(labels)
        valid = (truth != labels.ignore_index) & (prediction.semantic != labels.ignore_index)
        predicted = prediction.semantic[valid].astype(np.int64)
        confidence = prediction.uncertainty.confidence[valid].astype(np.float64)
        bounds = np.linspace(0, 1, self.bins + 1)[1:-1]
        key = predicted * self.bins + np.searchsorted(bounds, confidence, side="left")
        pixels = np.bincount(key, minlength=n * self.bins)
        correct = np.bincount(key[predicted == truth[valid]], minlength=n * self.bins)
        image_counts = np.stack([pixels, correct], axis=1).reshape(n, self.bins, 2).astype(np.int64)
        total = np.bincount(key, confidence, minlength=n * self.bins).reshape(n, self.bins).astype(np.float64)
        self.counts, self.confidence = added(self.counts, image_counts), added(self.confidence, total)
        self.names = labels.names
        return {"calibration_error": _expected_error(image_counts.sum(0), total.sum(0))}

    def combine(self, other: Calibration) -> None:
        """Add the counts of another process."""
        self.counts = added(self.counts, other.counts)
        self.confidence = added(self.confidence, other.confidence)
        self.names = self.names or other.names

    def result(self) -> dict[str, Any]:
        """The scores; NaN without pixels."""
        if self.counts is None or self.confidence is None:
            return {"calibration_error": float("nan"), "max_calibration_error": float("nan")}
        counts, confidence = self.counts.sum(0), self.confidence.sum(0)
        mean_confidence, accuracy = _bins(counts, confidence)
        gaps = np.abs(accuracy - mean_confidence)
        return {
            "calibration_error": _expected_error(counts, confidence),
            "max_calibration_error": float(np.nanmax(gaps)) if counts.any() else float("nan"),
            "class_calibration_error": {
                name: _expected_error(self.counts[i], self.confidence[i]) for i, name in enumerate(self.names)
            },
            "calibration": {
                "bins": np.linspace(0, 1, self.bins + 1)[1:].tolist(),
                "confidence": mean_confidence.tolist(),
                "accuracy": accuracy.tolist(),
                "counts": counts[:, 0].tolist(),
            },
        }


def _bins(
    counts: NDArray[np.int64], confidence: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(mean confidence, accuracy) of each bin."""
    pixels, correct = counts.T.astype(np.float64)
    return ratio(confidence, pixels), ratio(correct, pixels)


def _expected_error(counts: NDArray[np.int64], confidence: NDArray[np.float64]) -> float:
    total = counts[:, 0].sum()
    mean_confidence, accuracy = _bins(counts, confidence)
    return (
        float(np.nansum(np.abs(accuracy - mean_confidence) * counts[:, 0]) / total) if total else float("nan")
    )
