"""Average precision (AP) of instances by the rules of Cityscapes.

Cordts et al.: The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016; the rules as
evalInstanceLevelSemanticLabeling of cityscapesScripts applies them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.rle import decode_mask
from segwright.labels import LabelSpace
from segwright.metrics.arrays import Array, check_equal_sizes, to_numpy
from segwright.metrics.panoptic_quality import count_intersections
from segwright.samples import PredictedSegment, Prediction, Segment, index_of

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

        Pixels of no true segment (id 0) are void. The official tool differs in one point: for it, instances of classes
        that are not scored (such as caravan) are not void. ``ValueError`` for maps of unequal size.
        """
        predicted_ids, true_ids = to_numpy(prediction), to_numpy(truth)
        check_equal_sizes(predicted_ids, true_ids)
        things = self.labels.thing_table()
        true = [s for s in true_segments if things[s.class_index]]
        stuff = [s for s in true_segments if not things[s.class_index]]
        predicted = [s for s in predicted_segments if things[s.class_index]]
        pixels = count_intersections(
            true_ids, [s.id for s in (*true, *stuff)], predicted_ids, [s.id for s in predicted]
        )
        objects = slice(1, 1 + len(true))
        self.add_overlaps(
            InstanceOverlaps(
                intersections=pixels[objects, 1:-1],
                void=pixels[0, 1:-1],
                truth_area=pixels.sum(1)[objects],
                prediction_area=pixels.sum(0)[1:-1],
                truth_class=np.array([s.class_index for s in true], dtype=np.int64),
                prediction_class=np.array([s.class_index for s in predicted], dtype=np.int64),
                groups=np.array([s.crowd for s in true], dtype=bool),
                scores=np.array([s.score for s in predicted], dtype=np.float64),
            )
        )

    def add_prediction(self, prediction: Prediction, truth: Array, true_segments: Sequence[Segment]) -> None:
        """Count one image with the objects of ``prediction``: its ``instances``, which may overlap, or its segments."""
        if prediction.instances is None:
            assert prediction.panoptic is not None
            self.add(prediction.panoptic, prediction.segments, truth, true_segments)
            return
        things, true_ids = self.labels.thing_table(), to_numpy(truth)
        true = [s for s in true_segments if things[s.class_index]]
        stuff = [s for s in true_segments if not things[s.class_index]]
        predicted = [instance for instance in prediction.instances if things[instance.class_index]]
        index = 1 + index_of(true_ids, [s.id for s in (*true, *stuff)])
        counts = np.zeros((1 + len(true) + len(stuff), len(predicted)), dtype=np.int64)
        for column, instance in enumerate(predicted):
            counts[:, column] = np.bincount(index[decode_mask(instance.mask)], minlength=len(counts))
        areas = np.bincount(index.reshape(-1), minlength=len(counts))
        objects = slice(1, 1 + len(true))
        self.add_overlaps(
            InstanceOverlaps(
                intersections=counts[objects],
                void=counts[0],
                truth_area=areas[objects],
                prediction_area=counts.sum(0),
                truth_class=np.array([s.class_index for s in true], dtype=np.int64),
                prediction_class=np.array([instance.class_index for instance in predicted], dtype=np.int64),
                groups=np.array([s.crowd for s in true], dtype=bool),
                scores=np.array([instance.score for instance in predicted], dtype=np.float64),
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
        own = examples[examples[:, 0] == k]
        by_threshold = [own[own[:, 1] == index] for index in range(len(IOU_THRESHOLDS))]
        return [area_under_steps(rows[:, 2], rows[:, 3], objects) for rows in by_threshold]


def _ap_scores(values: NDArray[np.float64]) -> dict[str, Any]:
    """The scores of the AP of some classes at each IoU threshold [classes, thresholds]; NaN for classes without AP."""
    if np.isnan(values).all():
        by_overlap, ap = dict.fromkeys(THRESHOLD_NAMES, math.nan), math.nan
    else:  # nanmean, as in cityscapesScripts: another mean would round differently
        columns = [float(np.nanmean(column)) for column in values.T]
        by_overlap, ap = dict(zip(THRESHOLD_NAMES, columns, strict=True)), float(np.nanmean(values))
    return {"ap": ap, "ap50": by_overlap["0.50"], "ap_by_overlap": by_overlap}


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
