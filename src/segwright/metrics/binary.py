"""Scores of sigmoid heads (binary and multi-label segmentation): IoU, F1, precision and recall of each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace
from segwright.metrics.arrays import (
    Array,
    class_indices,
    label_space,
    matching_counts,
    mean,
    ratio,
    to_numpy,
)


@dataclass(slots=True, init=False)
class BinaryConfusion:
    """Counts true positives, false positives and false negatives of each class, over any number of images.

    The prediction has one binary mask per class, or a single mask for class 1 of two. Masks may overlap; the ground
    truth is one class per pixel, so that at most one positive of a pixel is true. Ignored pixels count nowhere.

    ``classes``: their number, or a ``LabelSpace``. ``counts``: int64 [classes, 3] in the order above.
    """

    labels: LabelSpace
    counts: NDArray[np.int64]

    def __init__(self, classes: int | LabelSpace) -> None:
        self.labels = label_space(classes)
        self.counts = np.zeros((len(self.labels), 3), dtype=np.int64)

    def add(self, binary_masks: Array, target: Array) -> NDArray[np.int64]:
        """Count one image or a batch; return the counts of this call.

        ``binary_masks``: bool [channels, H, W] or [N, channels, H, W]. ``target``: class indices [H, W] or [N, H, W] of
        any integer dtype, 255 = ignored. NumPy arrays, or torch tensors on any device.
        """
        if "float" in str(binary_masks.dtype):
            raise ValueError(f"binary masks are {binary_masks.dtype}; expected bool; use probabilities > 0.5")
        masks, truth = to_numpy(binary_masks).astype(bool), class_indices(target, "target")
        channels, classes = masks.shape[-3] if masks.ndim > 2 else 0, len(self.labels)
        first = 1 if channels == 1 else 0
        sizes = (*masks.shape[:-3], *masks.shape[-2:])
        if not channels or sizes != truth.shape or first + channels > classes:
            raise ValueError(
                f"binary masks are {masks.shape}, ground truth is {truth.shape} of {classes} classes; expected equal "
                "sizes and a channel for class 1 or for each class"
            )
        valid = truth != self.labels.ignore_index
        positive = np.moveaxis(masks, -3, 0)[:, valid]
        true_class = truth[valid].astype(np.int64)
        # The pixels whose true class has a channel, and whether that channel is positive there.
        (has_channel,) = np.nonzero((true_class >= first) & (true_class < first + channels))
        own = true_class[has_channel]
        hit = positive[own - first, has_channel]
        counts = np.zeros_like(self.counts)
        counts[:, 0] = np.bincount(own[hit], minlength=classes)
        counts[first : first + channels, 1] = positive.sum(1)
        counts[:, 1] -= counts[:, 0]
        counts[:, 2] = np.bincount(own, minlength=classes) - counts[:, 0]
        self.counts += counts
        return counts

    def combine(self, other: BinaryConfusion | NDArray[np.int64]) -> None:
        """Add the counts of another object, or counts alone: of another process or another file."""
        self.counts += matching_counts(self, other)

    def result(self) -> dict[str, Any]:
        """{iou, f1, class: {name: {iou, f1, precision, recall}}}, fractions 0..1.

        A score without pixels is NaN; ``iou`` and ``f1`` are means over the classes that have one.
        """
        tp, fp, fn = self.counts.T.astype(np.float64)
        columns = {
            "iou": ratio(tp, tp + fp + fn),
            "f1": ratio(2 * tp, 2 * tp + fp + fn),
            "precision": ratio(tp, tp + fp),
            "recall": ratio(tp, tp + fn),
        }
        rows = {
            name: {score: float(values[index]) for score, values in columns.items()}
            for index, name in enumerate(self.labels.names)
        }
        means = {score: mean(columns[score]) for score in ("iou", "f1")}
        return {**means, "class": rows}
