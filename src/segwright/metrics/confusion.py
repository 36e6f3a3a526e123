"""The confusion matrix, and the scores that are ratios of its entries: mIoU, accuracies, per-class IoU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.labels import IGNORED, LabelSpace
from segwright.metrics.arrays import (
    Array,
    check_equal_sizes,
    class_indices,
    count_pairs,
    label_space,
    matching_counts,
    mean,
    ratio,
    refuse_huge_matrix,
)
from segwright.samples import Scores


@dataclass(slots=True, init=False)
class ConfusionMatrix:
    """Counts pixels by true and predicted class, over any number of images.

    >>> metric = ConfusionMatrix(classes=3)
    >>> metric.add(prediction, target)  # once per image or batch
    >>> metric.result().miou

    ``classes``: their number, or a ``LabelSpace`` whose names appear in the result; without names they are "class_0",
    "class_1", ... ``counts``: int64 [classes, classes + 1]. Rows are the ground truth, columns the prediction; the
    last column counts pixels to which the prediction gives no class. Pixels that are ignored in the ground truth
    count nowhere, as in cityscapesscripts. ``UserError`` for so many classes that the counts do not fit the memory.
    """

    labels: LabelSpace
    counts: NDArray[np.int64]

    def __init__(self, classes: int | LabelSpace) -> None:
        self.labels = label_space(classes)
        refuse_huge_matrix(len(self.labels))
        self.counts = np.zeros((len(self.labels), len(self.labels) + 1), dtype=np.int64)

    def add(self, prediction: Array, target: Array) -> NDArray[np.int64]:
        """Count one image [H, W] or a batch [N, H, W]; return the counts of this call.

        Both maps hold class indices: NumPy arrays or torch tensors on any device, of any integer dtype. 255 in the
        target is ignored; 255 in the prediction is no class (65535 for more than 255 classes). ``ValueError`` for maps
        of unequal size, for other values, and for logits.
        """
        maps = {
            "prediction": class_indices(prediction, "prediction"),
            "target": class_indices(target, "target"),
        }
        check_equal_sizes(*maps.values())
        checked = {name: self._checked(values, name) for name, values in maps.items()}
        n = len(self.labels)
        # Ignored pixels fall into rows that are cut off afterwards.
        table = count_pairs(checked["target"], checked["prediction"], n)
        no_class = len(table) - 1
        self._check_range("target", int(table[n:no_class].sum()))
        self._check_range("prediction", int(table[:, n:no_class].sum()))
        counts = np.concatenate([table[:n, :n], table[:n, no_class:]], axis=1)
        self.counts += counts
        return counts

    def combine(self, other: ConfusionMatrix | NDArray[np.int64]) -> None:
        """Add the counts of another matrix, or counts alone: of another process or another file."""
        self.counts += matching_counts(self, other)

    def result(self) -> Scores:
        """The scores of everything counted so far; NaN for what has no pixels."""
        return semantic_scores(self.counts, self.labels.names)

    def _checked(self, values: NDArray[Any], name: str) -> NDArray[Any]:
        """The map in the type of class maps, in which every value lies in the table of pairs."""
        n, ignored = len(self.labels), self.labels.ignore_index
        if n > IGNORED:
            self._check_range(name, int(((values < 0) | ((values >= n) & (values != ignored))).sum()))
        elif values.dtype not in (np.uint8, np.bool_):  # bytes always lie in the table
            self._check_range(name, int(((values < 0) | (values > ignored)).sum()))
        return values.astype(self.labels.dtype, copy=False)

    def _check_range(self, name: str, outside: int) -> None:
        if outside:
            n = len(self.labels)
            meaning = "ignored pixels" if name == "target" else "no class"
            raise ValueError(
                f"{outside} pixels of the {name} lie outside the {n} classes of {self.labels.name!r}; expected 0 to "
                f"{n - 1}, or {self.labels.ignore_index} for {meaning}"
            )


def semantic_scores(counts: NDArray[np.int64], names: tuple[str, ...]) -> Scores:
    """The scores of pixel counts [C, C + 1] (``ConfusionMatrix.counts``). Each ratio is taken once.

    IoU = TP / (TP + FP + FN). A class that occurs neither in the ground truth nor in the prediction is NaN and left
    out of the mean. Class accuracy is the mean recall over the classes that occur in the ground truth. Precision is
    TP / (TP + FP) where the class is predicted, F1 is 2 TP / (2 TP + FP + FN).
    """
    correct = counts.diagonal().astype(np.float64)
    truth = counts.sum(1).astype(np.float64)
    predicted = counts[:, : len(names)].sum(0).astype(np.float64)
    iou = ratio(correct, truth + predicted - correct)
    precision, recall = ratio(correct, predicted), ratio(correct, truth)
    f1 = ratio(2 * correct, truth + predicted)
    present = truth > 0
    total = truth.sum()
    return Scores(
        miou=mean(iou),
        pixel_accuracy=float(correct.sum() / total) if total else float("nan"),
        class_accuracy=mean(recall),
        frequency_weighted_iou=float((truth[present] * iou[present]).sum() / total)
        if total
        else float("nan"),
        class_iou=_by_name(names, iou),
        mean_precision=mean(precision),
        mean_f1=mean(f1),
        class_precision=_by_name(names, precision),
        class_recall=_by_name(names, recall),
        class_f1=_by_name(names, f1),
    )


def csail_scores(scores: Scores) -> dict[str, float]:
    """{csail_mean_iou, csail_overall_score} as CSAIL's semantic-segmentation-pytorch computes them.

    Its mean IoU counts a class without pixels as 0; the overall score is the mean of this and the pixel accuracy.
    """
    iou = np.nan_to_num(np.array([*scores.class_iou.values()]))
    mean_iou = float(iou.mean())
    return {"csail_mean_iou": mean_iou, "csail_overall_score": (mean_iou + scores.pixel_accuracy) / 2}


def _by_name(names: tuple[str, ...], values: NDArray[np.float64]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}
