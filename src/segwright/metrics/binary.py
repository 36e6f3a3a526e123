"""Yes and no, a class each: IoU, F1, precision and recall of channels that answer by themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace
from segwright.metrics.confusion import mean, ratio
from segwright.samples import IGNORED


@dataclass(slots=True)
class BinaryScores:
    """Pixels by class, int64 [classes, 3]: yes and right, yes and wrong, no and wrong. Ignored truth counts nowhere.

    A single channel answers for class 1. Truth is one class a pixel, so at most one yes of a pixel is right.
    """

    labels: LabelSpace
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Start from zero."""
        self.counts = np.zeros((len(self.labels), 3), dtype=np.int64)

    def add(self, binary_masks: NDArray[np.bool_], truth: NDArray[Any]) -> NDArray[np.int64]:
        """Count one image, answers [channels, H, W] and truth [H, W] in class indices; its own counts come back."""
        first, classes = (1 if len(binary_masks) == 1 else 0), len(self.labels)
        if binary_masks.shape[1:] != truth.shape or first + len(binary_masks) > classes:
            raise ValueError(
                f"answers are {binary_masks.shape}, truth is {truth.shape} of {classes} classes; expected equal sizes and "
                "a channel for class 1 or for each class"
            )
        known = truth != IGNORED
        yes, own = binary_masks[:, known], truth[known].astype(np.int64)
        asked = (own >= first) & (own < first + len(binary_masks))
        right = yes[own[asked] - first, np.flatnonzero(asked)]
        counts = np.zeros_like(self.counts)
        counts[:, 0] = np.bincount(own[asked][right], minlength=classes)
        counts[first : first + len(binary_masks), 1] = yes.sum(1)
        counts[:, 1] -= counts[:, 0]
        counts[:, 2] = np.bincount(own[asked], minlength=classes) - counts[:, 0]
        self.counts += counts
        return counts

    def combine(self, counts: NDArray[np.int64]) -> None:
        """Add counts made elsewhere (another process, another file)."""
        self.counts += counts

    def result(self) -> dict[str, Any]:
        """{iou, f1, class: {name: {iou, f1, precision, recall}}} in 0..1; NaN, and in no mean, where nothing is."""
        right, wrong, missed = self.counts.T.astype(np.float64)
        columns = {
            "iou": ratio(right, right + wrong + missed),
            "f1": ratio(2 * right, 2 * right + wrong + missed),
            "precision": ratio(right, right + wrong),
            "recall": ratio(right, right + missed),
        }
        rows = {
            name: {score: float(values[place]) for score, values in columns.items()}
            for place, name in enumerate(self.labels.names)
        }
        means = {score: mean(columns[score]) for score in ("iou", "f1")}
        return {**means, "class": rows}
