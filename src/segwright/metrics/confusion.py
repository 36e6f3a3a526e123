"""The confusion matrix and everything that is a ratio of its entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace
from segwright.samples import IGNORED, Scores


@dataclass(slots=True)
class ConfusionMatrix:
    """Pixel counts [classes, classes + 1], int64: rows are truth, the last column holds pixels that a
    prediction leaves without a class. Ignored truth counts nowhere (as in cityscapesscripts)."""

    labels: LabelSpace
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Start from zero."""
        self.counts = np.zeros((len(self.labels), len(self.labels) + 1), dtype=np.int64)

    def add(self, prediction: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.int64]:
        """Count one image, both maps [H, W] in class indices; the image's own counts come back."""
        if prediction.shape != truth.shape:
            raise ValueError(
                f"prediction is {prediction.shape}, truth is {truth.shape}; expected equal sizes"
            )
        n = len(self.labels)
        # One bincount over small keys: void truth falls into rows that are cut off afterwards.
        width = IGNORED + 1
        key = truth.astype(np.uint16) * np.uint16(width) + prediction.astype(np.uint16)
        table = np.bincount(key.ravel(), minlength=width * width).reshape(width, width)
        strange = int(table[n:IGNORED].sum() + table[:, n:IGNORED].sum())
        if strange:
            raise ValueError(f"{strange} pixels lie outside the {n} classes of {self.labels.name!r}")
        counts = np.concatenate([table[:n, :n], table[:n, IGNORED:]], axis=1).astype(np.int64)
        self.counts += counts
        return counts

    def combine(self, counts: NDArray[np.int64]) -> None:
        """Add counts made elsewhere (another process, another file)."""
        self.counts += counts

    def result(self) -> Scores:
        """The scores of everything counted so far."""
        return scores(self.counts, self.labels.names)


def scores(counts: NDArray[np.int64], names: tuple[str, ...]) -> Scores:
    """Scores of pixel counts [C, C + 1] (``ConfusionMatrix.counts``), each ratio taken once.

    IoU = tp / (tp + fp + fn); a class that neither truth nor prediction holds is NaN and left out of means.
    Class accuracy is the mean recall over the classes that occur in the truth.
    """
    hit = counts.diagonal().astype(np.float64)
    truth = counts.sum(1).astype(np.float64)
    predicted = counts[:, : len(names)].sum(0).astype(np.float64)
    iou = ratio(hit, truth + predicted - hit)
    present = truth > 0
    total = truth.sum()
    return Scores(
        miou=mean(iou),
        pixel_accuracy=float(hit.sum() / total) if total else float("nan"),
        class_accuracy=mean(ratio(hit, truth)),
        frequency_weighted_iou=float((truth[present] * iou[present]).sum() / total)
        if total
        else float("nan"),
        class_iou={name: float(value) for name, value in zip(names, iou, strict=True)},
    )


def ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """``part`` / ``whole``, NaN where the whole is nothing."""
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def mean(values: NDArray[np.float64]) -> float:
    """The mean of what is not NaN."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
