"""All error counts of a split, in one pass over its images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.analysis.errors.boundaries import BoundaryErrors
from segwright.analysis.errors.confusion_images import ConfusionImages
from segwright.analysis.errors.objects import CAUSES, Example, examples, segment_errors
from segwright.analysis.errors.segment_sizes import SegmentSizes, segment_maps
from segwright.labels import LabelSpace
from segwright.metrics.confusion import ConfusionMatrix
from segwright.metrics.panoptic_quality import PanopticQuality
from segwright.samples import Prediction, Sample

MAX_EXAMPLES = 6
"""Examples that are kept of each cause, from different images."""

CORRECT, TRUTH, PREDICTED = range(3)


@dataclass(frozen=True, slots=True, eq=False)
class ImageErrors:
    """The counts of one image.

    ``classes`` int32 [classes, 3]: correct pixels, pixels in the ground truth, in the prediction; their sums over
    images give the mIoU. ``zones`` int64 [2, 2]: near a boundary or not, pixels and wrong pixels. ``confusion``: the
    largest one, (true class, predicted class, pixels), pixels 0 if there is none. Where there are segments:
    ``segments`` float64 [classes, 4], the counts of panoptic quality, and ``causes`` int64 [causes, 2], false negatives
    and false positives by cause (``objects.CAUSES``).
    """

    index: int
    name: str
    classes: NDArray[np.int32]
    zones: NDArray[np.int64]
    confusion: tuple[int, int, int]
    segments: NDArray[np.float64] | None = None
    causes: NDArray[np.int64] | None = None


@dataclass(slots=True)
class SplitErrors:
    """Error counts of a split: sums over its images, and the counts of each image in ``images``.

    ``causes``: int64 [classes, causes, 2], false negatives and false positives. ``examples``: the largest errors of
    each cause, at most ``MAX_EXAMPLES``, from different images.
    """

    labels: LabelSpace
    confusions: ConfusionImages = field(init=False)
    boundaries: BoundaryErrors = field(init=False)
    sizes: SegmentSizes = field(init=False)
    causes: NDArray[np.int64] = field(init=False)
    examples: list[Example] = field(default_factory=list, init=False)
    images: list[ImageErrors] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Start from zero."""
        classes = len(self.labels)
        self.confusions, self.boundaries = ConfusionImages(classes), BoundaryErrors(classes)
        self.sizes = SegmentSizes(classes)
        self.causes = np.zeros((classes, len(CAUSES), 2), np.int64)

    @property
    def has_segments(self) -> bool:
        """Whether every image has segments in ground truth and prediction."""
        return bool(self.images) and all(image.segments is not None for image in self.images)

    def add(self, index: int, sample: Sample, prediction: Prediction) -> None:
        """Count the image at ``index``; nothing of the image is kept."""
        truth = sample.semantic()
        counts = ConfusionMatrix(self.labels).add(prediction.semantic, truth)
        self.confusions.add(counts, index)
        zones = self.boundaries.add(prediction.semantic, truth)
        self.sizes.add(*segment_maps(prediction, sample, len(self.labels)))
        segments = causes = None
        if sample.segments is not None and prediction.panoptic is not None:
            segments, causes = self._add_segments(index, sample, prediction)
        self.images.append(
            ImageErrors(index, sample.name, _per_class(counts), zones, _largest(counts), segments, causes)
        )

    def _add_segments(self, index: int, sample: Sample, prediction: Prediction) -> tuple[Any, Any]:
        assert prediction.panoptic is not None and sample.segments is not None
        quality = PanopticQuality(self.labels)
        quality.add(prediction.panoptic, prediction.segments, sample.map, sample.segments)
        errors = segment_errors(prediction, sample, self.labels)
        causes = errors.counts(len(self.labels))
        self.causes += causes
        self.examples = _most_telling([*self.examples, *examples(errors, self.labels, index)], self.labels)
        return quality.counts, causes.sum(0)


def sum_of_classes(errors: SplitErrors) -> NDArray[np.int64]:
    """The counts of all images together, int64 [classes, 3] (``ImageErrors.classes``)."""
    total = np.zeros((len(errors.labels), 3), np.int64)
    for image in errors.images:
        total += image.classes
    return total


def class_iou(counts: NDArray[Any]) -> NDArray[np.float64]:
    """IoU [..., classes] of counts [..., classes, 3] (``ImageErrors.classes``, or sums); NaN for an absent class."""
    values = np.asarray(counts, np.float64)
    union = values[..., TRUTH] + values[..., PREDICTED] - values[..., CORRECT]
    return ratios(values[..., CORRECT], union)


def class_pq(counts: NDArray[Any]) -> NDArray[np.float64]:
    """PQ [..., classes] of counts [..., classes, 4] (``ImageErrors.segments``, or sums); NaN for an absent class."""
    values = np.asarray(counts, np.float64)
    total = values[..., 1] + 0.5 * values[..., 2] + 0.5 * values[..., 3]
    return ratios(values[..., 0], total)


def mean_of_classes(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the last axis, without NaN; NaN if nothing is left: mIoU of IoU, PQ of PQ per class."""
    defined = np.isfinite(scores)
    count = np.asarray(defined.sum(-1))
    total = np.asarray(np.where(defined, scores, 0.0).sum(-1))
    return ratios(total, count)


def ratios(part: NDArray[Any], total: NDArray[Any]) -> NDArray[np.float64]:
    """``part / total`` of each entry; NaN where ``total`` is 0."""
    result: NDArray[np.float64] = np.full(np.shape(total), np.nan)
    np.divide(part, total, out=result, where=np.asarray(total) > 0)
    return result


def _per_class(counts: NDArray[np.int64]) -> NDArray[np.int32]:
    columns = (counts.diagonal(), counts.sum(1), counts[:, : len(counts)].sum(0))
    return np.stack(columns, axis=1).astype(np.int32)


def _largest(counts: NDArray[np.int64]) -> tuple[int, int, int]:
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    row, column = divmod(int(wrong.argmax()), wrong.shape[1])
    return row, column, int(wrong[row, column])


def _most_telling(candidates: list[Example], labels: LabelSpace) -> list[Example]:
    """The largest examples of each cause, objects before stuff, and in the order of the images if they are equal."""
    things = labels.thing_table()
    ranked = sorted(candidates, key=lambda e: (e.cause, not things[e.class_index], -e.area, e.index))
    kept: list[Example] = []
    for example in ranked:
        if sum(other.cause == example.cause for other in kept) < MAX_EXAMPLES:
            kept.append(example)
    return kept
