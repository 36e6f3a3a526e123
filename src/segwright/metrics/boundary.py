"""How well the edges of segments are found: boundary IoU and trimap IoU."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.metrics.arrays import added, count_pairs, mean, ratio
from segwright.metrics.confusion import semantic_scores
from segwright.samples import Prediction, Sample


@dataclass(slots=True)
class BoundaryIoU:
    """Boundary IoU of each class, and their mean, summed over all images.

    The IoU of two bands: the pixels of the true and of the predicted mask that are within a distance of the edge of
    their own mask. Cheng et al.: Boundary IoU: Improving Object-Centric Image Segmentation Evaluation, CVPR 2021. The
    distance is ``ratio`` times the diagonal of the image, rounded, at least 1 pixel; distances are the larger of dx and
    dy, and the border of the image is an edge, both as in the authors' boundary_iou_api. Pixels that are ignored in the
    ground truth belong to no mask.

    Scores: ``boundary_iou``, ``class_boundary_iou`` {name: IoU}.
    """

    ratio: float = 0.02
    counts: NDArray[np.int64] | None = field(
        default=None, init=False
    )  # [3, C]: both, true band, predicted band
    names: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        """``UserError`` for a ratio that is no fraction."""
        if not 0 < self.ratio < 1:
            raise UserError(
                f"BoundaryIoU: ratio is {self.ratio}; expected a fraction of the diagonal, such as 0.02"
            )

    def add(self, prediction: Prediction, sample: Sample, labels: LabelSpace) -> dict[str, float]:
        """Count one image; its own boundary IoU."""
        truth, ignored = sample.semantic(), labels.ignore_index
        predicted = np.where(truth == ignored, ignored, prediction.semantic).astype(labels.dtype)
        distance = max(1, round(self.ratio * float(np.hypot(*truth.shape))))
        bands = [
            np.where(edge_band(values, distance), values, ignored).astype(labels.dtype)
            for values in (truth, predicted)
        ]
        n = len(labels)
        pairs = count_pairs(bands[0], bands[1], n)
        image_counts = np.stack([pairs.diagonal()[:n], pairs.sum(1)[:n], pairs.sum(0)[:n]])
        self.counts, self.names = added(self.counts, image_counts), labels.names
        return {"boundary_iou": mean(_band_iou(image_counts))}

    def combine(self, other: BoundaryIoU) -> None:
        """Add the counts of another process."""
        self.counts, self.names = added(self.counts, other.counts), self.names or other.names

    def result(self) -> dict[str, Any]:
        """The scores; NaN for a class without pixels."""
        iou = _band_iou(np.zeros((3, 0)) if self.counts is None else self.counts)
        by_class = {name: float(value) for name, value in zip(self.names, iou, strict=True)}
        return {"boundary_iou": mean(iou), "class_boundary_iou": by_class}


@dataclass(slots=True)
class TrimapIoU:
    """The mean IoU of the pixels near an edge of the ground truth, for each of several widths.

    A pixel counts for a width w, one of ``widths``, if another label, or an ignored pixel, lies within w pixels of it
    (the larger of dx and dy). Kohli et al.: Robust Higher Order Potentials for Enforcing Label Consistency, IJCV 2009;
    Chen et al.: DeepLab, TPAMI 2018. The border of the image is no edge.

    Scores: ``trimap_iou_W`` for each width W, ``class_trimap_iou`` {W: {name: IoU}}.
    """

    widths: tuple[int, ...] = (5, 20)
    counts: NDArray[np.int64] | None = field(default=None, init=False)  # [widths, C, C + 1]
    names: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        """``UserError`` for widths below 1."""
        if not self.widths or min(self.widths) < 1 or len(set(self.widths)) < len(self.widths):
            raise UserError(
                f"TrimapIoU: widths are {self.widths}; expected different numbers of pixels from 1"
            )

    def add(self, prediction: Prediction, sample: Sample, labels: LabelSpace) -> dict[str, float]:
        """Count one image; its own IoU of each width."""
        truth, n = sample.semantic(), len(labels)
        image_counts = np.zeros((len(self.widths), n, n + 1), dtype=np.int64)
        for index, width in enumerate(self.widths):
            near = np.where(differs_within(truth, width), truth, labels.ignore_index).astype(labels.dtype)
            pairs = count_pairs(near, prediction.semantic.astype(labels.dtype, copy=False), n)
            image_counts[index] = np.concatenate([pairs[:n, :n], pairs[:n, n:].sum(1, keepdims=True)], axis=1)
        self.counts, self.names = added(self.counts, image_counts), labels.names
        return {
            f"trimap_iou_{width}": semantic_scores(counts, labels.names).miou
            for width, counts in zip(self.widths, image_counts, strict=True)
        }

    def combine(self, other: TrimapIoU) -> None:
        """Add the counts of another process."""
        self.counts, self.names = added(self.counts, other.counts), self.names or other.names

    def result(self) -> dict[str, Any]:
        """The scores; NaN for a class without pixels near an edge."""
        counts = np.zeros((len(self.widths), 0, 1), np.int64) if self.counts is None else self.counts
        scores = [semantic_scores(matrix, self.names) for matrix in counts]
        values: dict[str, Any] = {
            f"trimap_iou_{width}": one.miou for width, one in zip(self.widths, scores, strict=True)
        }
        by_width = {str(width): one.class_iou for width, one in zip(self.widths, scores, strict=True)}
        return values | {"class_trimap_iou": by_width}


def edge_band(labels: NDArray[Any], distance: int) -> NDArray[np.bool_]:
    """The pixels of each label's mask within ``distance`` of the edge of that mask, bool [H, W].

    The same as the mask minus its erosion, for all labels at once.
    """
    band = differs_within(labels, distance)
    band[:distance] = band[-distance:] = True
    band[:, :distance] = band[:, -distance:] = True
    return band


def differs_within(labels: NDArray[Any], distance: int) -> NDArray[np.bool_]:
    """The pixels with another label inside the square that reaches ``distance`` pixels to each side, bool [H, W]."""
    side = 2 * distance + 1
    square = np.ones((side, side), dtype=np.uint8)
    if labels.dtype == np.int32:  # class indices of up to 16 bits; OpenCV has no such filter for int32
        labels = labels.astype(np.uint16)
    return np.asarray(cv2.erode(labels, square) != cv2.dilate(labels, square))


def _band_iou(counts: NDArray[Any]) -> NDArray[np.float64]:
    both, truth, predicted = counts.astype(np.float64)
    return ratio(both, truth + predicted - both)
