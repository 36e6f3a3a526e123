"""Average precision (AP) of instances by the rules of Cityscapes.

Cordts et al.: The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016; the rules as
evalInstanceLevelSemanticLabeling of cityscapesScripts applies them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.rle import decode_mask
from segwright.labels import LabelSpace
from segwright.metrics.arrays import Array, check_equal_sizes, to_numpy
from segwright.metrics.panoptic_quality import count_intersections
from segwright.samples import PredictedInstance, PredictedSegment, Prediction, Segment, index_of

Item = TypeVar("Item", Segment, PredictedSegment, PredictedInstance)

IOU_THRESHOLDS = np.arange(0.5, 1.0, 0.05)
THRESHOLD_NAMES = tuple(f"{threshold:.2f}" for threshold in IOU_THRESHOLDS)
CityscapesState: TypeAlias = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Examples float64 [N, 4] (class, index of the IoU threshold, score, 1 = hit or 0 = false positive), and counts."""


@dataclass(frozen=True, slots=True)
class InstanceOverlaps:
    """The instances of one image and their intersections, in pixels, for T true and P predicted instances.

    ``intersections`` [T, P]; ``void`` [P]: pixels of a prediction in regions that do not count; ``groups`` bool [T]:
    regions of several objects that were annotated as one (crowds). ``distance`` [T]: meters from the camera, infinite
    where unknown.
    """

    intersections: NDArray[np.int64]
    void: NDArray[np.int64]
    truth_area: NDArray[np.int64]
    prediction_area: NDArray[np.int64]
    truth_class: NDArray[np.int64]
    prediction_class: NDArray[np.int64]
    groups: NDArray[np.bool_]
    scores: NDArray[np.float64]
    distance: NDArray[np.float64] | None = None


@dataclass(slots=True)
class CityscapesAP:
    """Average precision of instance masks; the IoU must exceed 0.5, 0.55, ... 0.95.

    It is the area under the steps of the precision-recall curve, without interpolation. Objects below ``min_area``
    pixels, those farther away than ``max_distance`` meters, and groups are neither found nor missed. Of several
    predictions of one object the one with the highest score is a hit, the others are false positives. A prediction
    without object is not counted if the fraction of it that lies in void, groups and objects that do not count exceeds
    the IoU threshold.

    ``counts``: int64 [classes, 2]: objects that count, predictions.
    """

    labels: LabelSpace
    min_area: int = 100
    max_distance: float = math.inf
    examples: list[NDArray[np.float64]] = field(init=False, default_factory=list)
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Start from zero."""
        self.counts = np.zeros((len(self.labels), 2), dtype=np.int64)

    @property
    def state(self) -> CityscapesState:
        """Everything counted so far."""
        return np.concatenate([np.empty((0, 4)), *self.examples]), self.counts

    def add(
        self,
        prediction: Array,
        predicted_segments: Sequence[PredictedSegment],
        truth: Array,
        true_segments: Sequence[Segment],
    ) -> None:
        """Count one image: maps of segment ids [H, W], NumPy arrays or torch tensors, each with its segments.

        Pixels of no true segment are void. The official tool differs in one point: for it, instances of classes
        that are not scored (such as caravan) are not void. ``ValueError`` for maps of unequal size.
        """
        predicted_ids, true_ids = to_numpy(prediction), to_numpy(truth)
        check_equal_sizes(predicted_ids, true_ids)
        true, stuff = self._things_and_stuff(true_segments)
        predicted, _ = self._things_and_stuff(predicted_segments)
        pixels = count_intersections(
            true_ids, [s.id for s in (*true, *stuff)], predicted_ids, [s.id for s in predicted]
        )
        pixels[0] += pixels[-1]  # ids of no segment are void
        self._add_pixels(pixels[:-1, 1:-1], pixels.sum(1), true, predicted)

    def add_prediction(self, prediction: Prediction, truth: Array, true_segments: Sequence[Segment]) -> None:
        """Count one image with the objects of ``prediction``: its ``instances``, which may overlap, or its segments."""
        if prediction.instances is None:
            assert prediction.panoptic is not None
            self.add(prediction.panoptic, prediction.segments, truth, true_segments)
            return
        true_ids = to_numpy(truth)
        true, stuff = self._things_and_stuff(true_segments)
        predicted, _ = self._things_and_stuff(prediction.instances)
        index = 1 + index_of(true_ids, [s.id for s in (*true, *stuff)])
        areas = np.bincount(index.reshape(-1), minlength=1 + len(true) + len(stuff))
        pixels = np.zeros((len(areas), len(predicted)), dtype=np.int64)
        for column, instance in enumerate(predicted):
            pixels[:, column] = np.bincount(index[decode_mask(instance.mask)], minlength=len(areas))
        self._add_pixels(pixels, areas, true, predicted)

    def _things_and_stuff(self, segments: Sequence[Item]) -> tuple[list[Item], list[Item]]:
        """The segments of things, and those of stuff."""
        is_thing = self.labels.thing_table()
        return (
            [segment for segment in segments if is_thing[segment.class_index]],
            [segment for segment in segments if not is_thing[segment.class_index]],
        )

    def _add_pixels(
        self,
        pixels: NDArray[np.int64],
        areas: NDArray[np.int64],
        true: Sequence[Segment],
        predicted: Sequence[PredictedSegment | PredictedInstance],
    ) -> None:
        """Count one image by the ``pixels`` of each prediction in void (row 0), the true things and the true stuff.

        ``areas``: the pixels of the image in each of these rows.
        """
        objects = slice(1, 1 + len(true))
        self.add_overlaps(
            InstanceOverlaps(
                intersections=pixels[objects],
                void=pixels[0],
                truth_area=areas[objects],
                prediction_area=pixels.sum(0),
                truth_class=np.array([s.class_index for s in true], dtype=np.int64),
                prediction_class=np.array([s.class_index for s in predicted], dtype=np.int64),
                groups=np.array([s.crowd for s in true], dtype=bool),
                scores=np.array([s.score for s in predicted], dtype=np.float64),
            )
        )

    def add_overlaps(self, image: InstanceOverlaps) -> None:
        """Count one image whose masks may overlap. Predictions without pixels do not count."""
        present = image.prediction_area > 0
        for k in np.union1d(image.truth_class, image.prediction_class[present]).tolist():
            truth, predicted = image.truth_class == k, (image.prediction_class == k) & present
            counted = ~image.groups[truth] & ~self._too_small_or_far(image)[truth]
            self.counts[k] += counted.sum(), predicted.sum()
            self.examples.append(self._examples(image, k, truth, predicted))

    def _too_small_or_far(self, image: InstanceOverlaps) -> NDArray[np.bool_]:
        small = image.truth_area < self.min_area
        if self.max_distance == math.inf:
            return small
        if image.distance is None:
            raise ValueError("the distances of the true instances are unknown; expected one for each")
        return small | (image.distance > self.max_distance)

    def _examples(
        self, image: InstanceOverlaps, k: int, truth: NDArray[np.bool_], predicted: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Hits and false positives of class ``k`` at every IoU threshold."""
        intersections = image.intersections[truth][:, predicted]
        truth_area, area = image.truth_area[truth], image.prediction_area[predicted]
        scores = image.scores[predicted]
        group, unscored = image.groups[truth], self._too_small_or_far(image)[truth]
        iou = intersections / (truth_area[:, None] + area - intersections)
        # A small group counts twice, as in cityscapesScripts.
        excused = image.void[predicted] + intersections[group].sum(0) + intersections[unscored].sum(0)
        rows = []
        for index, threshold in enumerate(IOU_THRESHOLDS):
            match = iou > threshold
            for own_matches in match[~group & ~unscored]:
                if own_matches.any():
                    *lower, highest = np.sort(scores[own_matches])
                    rows += [(k, index, highest, 1.0), *((k, index, score, 0.0) for score in lower)]
            false_positives = scores[~match.any(0) & (excused / area <= threshold)]
            rows += [(k, index, score, 0.0) for score in false_positives]
        return np.array(rows, dtype=np.float64).reshape(-1, 4)

    def combine(self, other: CityscapesAP | CityscapesState) -> None:
        """Add what another object has counted, or its ``state``."""
        examples, counts = other.state if isinstance(other, CityscapesAP) else other
        self.examples.append(examples)
        self.counts += counts

    def result(self) -> dict[str, Any]:
        """{all: {ap, ap50, ap_by_overlap, n}, class: {name: {ap, ap50, ap_by_overlap}}} of things, fractions 0..1.

        ``ap_by_overlap``: {IoU threshold, "0.50" to "0.95": AP}. A class without objects is NaN.
        """
        examples, _ = self.state
        names = [name for name in self.labels.names if name in self.labels.things]
        rows = [self._class_ap(self.labels.names.index(name), examples) for name in names]
        values = np.array(rows).reshape(-1, len(IOU_THRESHOLDS))
        return {
            "all": _ap_scores(values) | {"n": int((~np.isnan(values[:, 0])).sum())},
            "class": {name: _ap_scores(row[None]) for name, row in zip(names, values, strict=True)},
        }

    def _class_ap(self, k: int, examples: NDArray[np.float64]) -> list[float]:
        """Average precision of class ``k`` at each IoU threshold."""
        objects, predictions = self.counts[k].tolist()
        if not objects or not predictions:
            return [0.0 if objects else float("nan")] * len(IOU_THRESHOLDS)
        by_threshold = examples_by_threshold(examples, k)
        return [area_under_steps(rows[:, 2], rows[:, 3], objects) for rows in by_threshold]


def _ap_scores(values: NDArray[np.float64]) -> dict[str, Any]:
    """The scores of the AP of some classes at each IoU threshold [classes, thresholds]; NaN for classes without AP."""
    if np.isnan(values).all():
        by_overlap, ap = dict.fromkeys(THRESHOLD_NAMES, math.nan), math.nan
    else:  # nanmean, as in cityscapesScripts: another mean would round differently
        columns = [float(np.nanmean(column)) for column in values.T]
        by_overlap, ap = dict(zip(THRESHOLD_NAMES, columns, strict=True)), float(np.nanmean(values))
    return {"ap": ap, "ap50": by_overlap["0.50"], "ap_by_overlap": by_overlap}


def examples_by_threshold(examples: NDArray[np.float64], k: int) -> list[NDArray[np.float64]]:
    """The examples (``CityscapesState``) of class ``k`` at each IoU threshold."""
    of_class = examples[examples[:, 0] == k]
    return [of_class[of_class[:, 1] == index] for index in range(len(IOU_THRESHOLDS))]


def area_under_steps(scores: NDArray[np.float64], hits: NDArray[np.float64], objects: int) -> float:
    """The area under precision over recall: one point per score, a step from half way to both of its neighbors."""
    order = np.argsort(scores)
    _, first = np.unique(scores[order], return_index=True)
    below = np.append(0.0, hits[order].cumsum())[first]
    tp = hits.sum() - below
    precision = np.append(tp / (len(scores) - first), 1.0)
    recall = np.append(tp / objects, 0.0)
    around = np.concatenate([recall[:1], recall, [0.0]])
    return float(np.dot(precision, 0.5 * around[:-2] - 0.5 * around[2:]))
