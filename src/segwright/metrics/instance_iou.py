"""Metrics of Cityscapes for ``Recipe.metrics``: IoU of categories, and IoU weighted by instance (iIoU)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace
from segwright.metrics.arrays import added, count_pairs
from segwright.metrics.label_scores import (
    COLUMNS,
    category_scores,
    count_instances,
    empty_counts,
    instance_scores,
)
from segwright.samples import Prediction, Sample, index_of


@dataclass(slots=True)
class CategoryIoU:
    """IoU of the categories of the label space (``LabelSpace.categories``), as cityscapesScripts computes it.

    Scores: ``mean_category_iou``, ``category_iou`` {name: IoU}.
    """

    counts: NDArray[np.int64] | None = field(default=None, init=False)
    labels: LabelSpace | None = field(default=None, init=False)

    def add(self, prediction: Prediction, sample: Sample, labels: LabelSpace) -> dict[str, float]:
        """Count one image; its own mean category IoU."""
        image_counts = _count_labels(prediction, sample, labels)
        self.counts, self.labels = added(self.counts, image_counts), labels
        return {"mean_category_iou": float(category_scores(image_counts, labels)["mean_category_iou"])}

    def combine(self, other: CategoryIoU) -> None:
        """Add the counts of another process."""
        self.counts, self.labels = added(self.counts, other.counts), self.labels or other.labels

    def result(self) -> dict[str, Any]:
        """The scores; NaN for a category without pixels."""
        if self.counts is None or self.labels is None:
            return {"mean_category_iou": float("nan"), "category_iou": {}}
        return category_scores(self.counts, self.labels)


@dataclass(slots=True)
class InstanceIoU:
    """IoU in which small instances count as much as large ones: iIoU of cityscapesScripts, called nIoU in its output.

    For datasets whose ground truth has instances. Crowds are no instances. Without ``LabelSpace.instance_sizes``, the
    average instance sizes are those of the evaluated split.

    Scores: ``mean_iiou``, ``class_iiou`` {name: iIoU, NaN for stuff}, ``mean_category_iiou``, ``category_iiou``.
    """

    counts: NDArray[np.int64] | None = field(default=None, init=False)
    instances: dict[str, NDArray[np.int64]] = field(default_factory=dict, init=False)  # by name of the image
    labels: LabelSpace | None = field(default=None, init=False)

    def add(self, prediction: Prediction, sample: Sample, labels: LabelSpace) -> None:
        """Count one image."""
        self.counts, self.labels = added(self.counts, _count_labels(prediction, sample, labels)), labels
        if sample.segments is None:
            return
        things = [s for s in sample.segments if not s.crowd and labels.names[s.class_index] in labels.things]
        things.sort(key=lambda segment: segment.id)
        number = index_of(sample.map, [segment.id for segment in things])
        inside = number >= 0
        predicted = _label_indices(prediction.semantic[inside], labels)
        classes = np.array([segment.class_index for segment in things], dtype=np.int64)
        rows = count_instances(number[inside], classes, predicted, labels)
        earlier = self.instances.get(sample.name, np.zeros((0, COLUMNS), np.int64))
        self.instances[sample.name] = np.concatenate([earlier, rows[rows[:, 1] > 0]])

    def combine(self, other: InstanceIoU) -> None:
        """Add the counts of another process."""
        self.counts, self.labels = added(self.counts, other.counts), self.labels or other.labels
        for name, rows in other.instances.items():
            earlier = self.instances.get(name)
            self.instances[name] = rows if earlier is None else np.concatenate([earlier, rows])

    def result(self) -> dict[str, Any]:
        """The scores. Instances are added in the order of image names, so that the order of counting has no effect."""
        if self.counts is None or self.labels is None:
            nan = float("nan")
            return {"mean_iiou": nan, "class_iiou": {}, "mean_category_iiou": nan, "category_iiou": {}}
        rows = [self.instances[name] for name in sorted(self.instances)]
        return instance_scores(self.counts, np.concatenate(rows) if rows else None, self.labels)


def _label_indices(classes: NDArray[Any], labels: LabelSpace) -> NDArray[np.int64]:
    """Label indices (``metrics.label_scores``) of class indices; the ignore index is no label."""
    nothing = len(labels) + len(labels.ignored)
    return np.where(classes == labels.ignore_index, nothing, classes).astype(np.int64)


def _count_labels(prediction: Prediction, sample: Sample, labels: LabelSpace) -> NDArray[np.int64]:
    """Counts by label of one image; ignored pixels count nowhere."""
    counts, n = empty_counts(labels), len(labels)
    pairs = count_pairs(sample.semantic(), prediction.semantic.astype(labels.dtype, copy=False), n)
    counts[:n, :n], counts[:n, -1] = pairs[:n, :n], pairs[:n, n:].sum(1)
    return counts
