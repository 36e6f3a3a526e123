"""The evaluator: counts predictions image by image and makes the scores of a split."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from segwright.errors import UserError
from segwright.evaluation.result import RESERVED, TITLES, EvaluationResult
from segwright.labels import LabelSpace
from segwright.metrics.average_precision import AveragePrecision
from segwright.metrics.binary import BinaryConfusion
from segwright.metrics.cityscapes_ap import CityscapesAP
from segwright.metrics.confusion import ConfusionMatrix, semantic_scores
from segwright.metrics.metric import Metric
from segwright.metrics.panoptic_quality import PanopticQuality, panoptic_scores
from segwright.samples import Prediction, Sample

T = TypeVar("T")
FOREGROUND = LabelSpace("foreground", ("background", "thing"), ((0, 0, 0), (255, 255, 255)), (0, 1))


@runtime_checkable
class ProcessGroup(Protocol):
    """The processes that evaluate a split together."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""

    @property
    def world(self) -> int:
        """The number of processes."""

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """The elementwise sum over all processes."""

    def gather(self, value: Any) -> list[Any]:
        """The value of every process, in rank order."""


@dataclass(frozen=True, slots=True)
class SingleProcess:
    """A group of one process."""

    rank: int = 0
    world: int = 1

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values."""
        return values

    def gather(self, value: T) -> list[T]:
        """The value."""
        return [value]


SINGLE_PROCESS = SingleProcess()


@dataclass(slots=True)
class Evaluator:
    """Counts predictions: pixels by class always; segments, objects, foreground and binary masks where there are any.

    ``max_detections``: how many objects per image, those of the highest scores, average precision counts. A dataset
    whose benchmark has the rules of Cityscapes (``LabelSpace.average_precision``) also gets average precision by them.
    ``metrics``: further metrics; the evaluator counts in copies of them.
    """

    labels: LabelSpace
    max_detections: int = 100
    metrics: Sequence[Metric] = ()
    confusion: ConfusionMatrix = field(init=False)
    panoptic_quality: PanopticQuality = field(init=False)
    average_precision: AveragePrecision = field(init=False)
    cityscapes_ap: CityscapesAP = field(init=False)
    foreground: ConfusionMatrix = field(init=False)
    binary_scores: BinaryConfusion = field(init=False)
    panoptic_images: int = field(default=0, init=False)
    per_image: list[dict[str, Any]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Start with empty counts; ``UserError`` if two metrics use one name."""
        self.metrics = copy.deepcopy(list(self.metrics))
        check_metrics(self.metrics)
        self.confusion = ConfusionMatrix(self.labels)
        self.panoptic_quality = PanopticQuality(self.labels)
        self.average_precision = AveragePrecision(self.labels, max_detections=self.max_detections)
        self.cityscapes_ap = CityscapesAP(self.labels)
        self.foreground = ConfusionMatrix(FOREGROUND)
        self.binary_scores = BinaryConfusion(self.labels)

    def add(
        self,
        prediction: Prediction,
        sample: Sample,
        *,
        index: int | None = None,
        annotations: Sequence[Mapping[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Count one image; its row of ``EvaluationResult.per_image``, with its own mIoU, pixel accuracy and PQ.

        ``index``: the index of the image in the dataset, by default the number of images so far. It decides between
        detections of equal score, so that the order of counting does not matter. ``annotations``: the objects of the
        image in COCO format, where they overlap and no label map can hold them; average precision uses them.
        """
        index = len(self.per_image) if index is None else index
        truth = sample.semantic()  # a pass over the map where there are segments, so only once
        own = semantic_scores(self.confusion.add(prediction.semantic, truth), self.labels.names)
        row: dict[str, Any] = {"index": index, "name": sample.name}
        row |= {"miou": own.miou, "pixel_accuracy": own.pixel_accuracy}
        if prediction.binary_masks is not None:
            self.binary_scores.add(prediction.binary_masks, truth)
        if sample.segments is not None and prediction.panoptic is not None:
            row["pq"] = self._add_segments(prediction, sample, index, annotations)
            if prediction.foreground is not None:
                things = self.labels.thing_table()[truth]
                self.foreground.add(prediction.foreground.astype(np.uint8), things.astype(np.uint8))
        row |= _merged((metric, metric.add(prediction, sample, self.labels)) for metric in self.metrics)
        self.per_image.append(row)
        return row

    def _add_segments(
        self,
        prediction: Prediction,
        sample: Sample,
        index: int,
        annotations: Sequence[Mapping[str, Any]] | None,
    ) -> float:
        """Count the segments of a panoptic prediction; the PQ of this image."""
        assert prediction.panoptic is not None and sample.segments is not None
        predicted, truth = (prediction.panoptic, prediction.segments), (sample.map, sample.segments)
        self.panoptic_images += 1
        counts = self.panoptic_quality.add(*predicted, *truth)
        self.average_precision.add_prediction(prediction, *truth, annotations=annotations, image=index)
        if self._has_cityscapes_rules():
            self.cityscapes_ap.add_prediction(prediction, *truth)
        return float(panoptic_scores(counts, self.labels)["all"]["pq"])

    def _has_cityscapes_rules(self) -> bool:
        return self.labels.average_precision == "cityscapes"

    def combine(self, group: ProcessGroup) -> None:
        """Add the counts of all processes; afterwards every process has those of the whole split."""
        for counted in (self.confusion, self.panoptic_quality, self.foreground, self.binary_scores):
            counted.counts = group.sum(counted.counts)
        self.panoptic_images = int(group.sum(np.array([self.panoptic_images], dtype=np.float64))[0])
        states = group.gather(self.average_precision.state)
        self.average_precision = AveragePrecision(self.labels, max_detections=self.max_detections)
        for state in states:
            self.average_precision.combine(state)
        if self._has_cityscapes_rules():
            overlaps = group.gather(self.cityscapes_ap.state)
            self.cityscapes_ap = CityscapesAP(self.labels)
            for part in overlaps:
                self.cityscapes_ap.combine(part)
        rows = [row for part in group.gather(self.per_image) for row in part]
        self.per_image = sorted(rows, key=lambda row: int(row["index"]))
        self.metrics, *others = group.gather(self.metrics)
        for other in others:
            for metric, theirs in zip(self.metrics, other, strict=True):
                metric.combine(theirs)

    def result(self, group: ProcessGroup = SINGLE_PROCESS) -> EvaluationResult:
        """The scores of all images that the processes of ``group`` counted."""
        self.combine(group)
        result = EvaluationResult(
            self.labels,
            self.confusion.result(),
            self.confusion.counts,
            self.per_image,
            metrics=_merged((metric, metric.result()) for metric in self.metrics),
        )
        if self.panoptic_images:
            result.panoptic = self.panoptic_quality.result()
            result.average_precision = self.average_precision.result(curves=True)
            if self._has_cityscapes_rules():
                result.cityscapes_average_precision = self.cityscapes_ap.result()
        if self.foreground.counts.any():
            result.foreground = self.foreground.result().class_iou
        if self.binary_scores.counts.any():
            result.binary_scores = self.binary_scores.result()
        return result


def check_metrics(metrics: Sequence[Metric], monitor: str | None = None) -> None:
    """``UserError`` if two metrics use one name, or if no evaluation can have a score called ``monitor``."""
    results = _merged((metric, metric.result()) for metric in metrics)
    names = [*TITLES, *(name for name, value in results.items() if isinstance(value, float))]
    if monitor is not None and monitor not in names:
        raise UserError(f"monitor: unknown score {monitor!r}; expected one of {', '.join(names)}")


def _merged(scores: Iterable[tuple[Metric, Mapping[str, Any] | None]]) -> dict[str, Any]:
    """The scores of several metrics in one dict; ``UserError`` if a name is taken."""
    values: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for metric, own in scores:
        owner = type(metric).__name__
        for name, value in (own or {}).items():
            if name in RESERVED:
                raise UserError(
                    f"metric {owner}: {name!r} is the name of a built-in score or field; rename it"
                )
            if name in owners:
                raise UserError(
                    f"metrics {owners[name]} and {owner}: both return {name!r}; rename one of them"
                )
            values[name], owners[name] = _plain(value), owner
    return values


def _plain(value: Any) -> Any:
    """``value`` with Python's numbers, lists and dicts in place of NumPy's, as JSON needs them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
