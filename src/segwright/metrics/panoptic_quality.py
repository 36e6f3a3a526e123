"""Panoptic quality, by every rule of panopticapi.

Kirillov, He, Girshick, Rother, Dollar: Panoptic segmentation, CVPR 2019; the rules as the authors' tool applies them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.rle import run_starts
from segwright.labels import LabelSpace
from segwright.metrics.arrays import Array, check_equal_sizes, matching_counts, to_numpy
from segwright.metrics.object_boundaries import boundary_width, segment_boundaries
from segwright.samples import PredictedSegment, Segment, index_of

_SCORES = ("pq", "sq", "rq")
VOID_ID = 0  # of the ground truth; in predictions void is -1, and 0 unless a segment has that id


@dataclass(frozen=True, slots=True)
class SegmentMatches:
    """The comparison of one image. The entries of each array are in the order of the segment ids.

    ``classes`` int64 [K] and ``iou`` float64 [K] of the matches; ``false_positives``: the classes of predictions
    without match; ``false_negatives``: the classes of true segments without match.
    """

    classes: NDArray[np.int64]
    iou: NDArray[np.float64]
    false_positives: NDArray[np.int64]
    false_negatives: NDArray[np.int64]


@dataclass(slots=True)
class PanopticQuality:
    """Panoptic quality (PQ), segmentation quality (SQ) and recognition quality (RQ), over any number of images.

    A prediction matches a true segment of its class if their IoU is above 0.5; void pixels of the ground truth are
    left out of the union. Crowds are neither matched nor missed. A prediction without match is not counted if more
    than half of it lies in void or in a crowd of its class. Of several crowds of one class only the last counts, as
    in panopticapi. Segments of one stuff class are not merged.

    ``counts``: float64 [classes, 4]: sum of the IoU of matches, matches, false positives, false negatives.
    """

    labels: LabelSpace
    boundary_ratio: float | None = field(default=None, kw_only=True)
    counts: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        """Start from zero."""
        self.counts = np.zeros((len(self.labels), 4))

    def add(
        self,
        prediction: Array,
        predicted_segments: Sequence[PredictedSegment | Segment],
        truth: Array,
        true_segments: Sequence[Segment],
        *,
        areas: Mapping[int, int] | None = None,
    ) -> NDArray[np.float64]:
        """Count one image; return the counts of this image.

        ``prediction`` and ``truth``: maps of segment ids [H, W], NumPy arrays or torch tensors, each with its
        segments. ``areas``: pixels of true segments by id, where an annotation file states them; otherwise they are
        counted. ``ValueError`` for maps of unequal size, and for ids of the prediction that do not fit its segments.
        """
        return self.add_matches(
            self.compare(prediction, predicted_segments, truth, true_segments, areas=areas)
        )

    def compare(
        self,
        prediction: Array,
        predicted_segments: Sequence[PredictedSegment | Segment],
        truth: Array,
        true_segments: Sequence[Segment],
        *,
        areas: Mapping[int, int] | None = None,
    ) -> SegmentMatches:
        """The matches of one image, not counted yet: threads may compare, ``add_matches`` then adds in order."""
        predicted_ids, true_ids = to_numpy(prediction), to_numpy(truth)
        check_equal_sizes(predicted_ids, true_ids)
        # Sorted by id, the order in which panopticapi adds: equal to the last bit.
        predicted = sorted(predicted_segments, key=lambda segment: segment.id)
        true = sorted(true_segments, key=lambda segment: segment.id)
        self._check(predicted)
        self._check(true)
        pixels = count_intersections(true_ids, [s.id for s in true], predicted_ids, [s.id for s in predicted])
        area = pixels.sum(0)[1:-1]
        if pixels[:, -1].any() or not area.all():
            raise ValueError(_mismatch(predicted_ids, predicted, area))
        true_area = pixels.sum(1)[1:-1]
        if areas is not None:
            true_area = np.array([areas[segment.id] for segment in true], dtype=np.int64)
        intersection, void = pixels[1:-1, 1:-1], pixels[0, 1:-1]
        iou = intersection / np.maximum(area + true_area[:, None] - intersection - void, 1)
        if self.boundary_ratio is not None:
            iou = np.minimum(iou, self._boundary_iou(predicted_ids, predicted, true_ids, true))
        true_class, is_crowd = _classes(true), np.array([s.crowd for s in true], dtype=bool)
        match = (true_class[:, None] == _classes(predicted)) & ~is_crowd[:, None] & (iou > 0.5)
        excused = (void + _in_crowd(intersection, predicted, true_segments, true)) / area > 0.5
        return SegmentMatches(
            true_class[match.nonzero()[0]],
            iou[match],
            _classes(predicted)[~match.any(0) & ~excused],
            true_class[~match.any(1) & ~is_crowd],
        )

    def _boundary_iou(
        self,
        prediction: NDArray[Any],
        predicted: Sequence[PredictedSegment | Segment],
        truth: NDArray[Any],
        true: Sequence[Segment],
    ) -> NDArray[np.float64]:
        """The IoU of the boundaries of each pair of segments, float64 [true, predicted]."""
        assert self.boundary_ratio is not None
        width = boundary_width(truth.shape, self.boundary_ratio)
        maps = []
        for ids, segments in ((truth, true), (prediction, predicted)):
            on_boundary = segment_boundaries(ids, width)
            interior = max((int(ids.max()), *(s.id for s in segments)), default=0) + 1  # an id of no segment
            maps.append(
                (
                    np.where(on_boundary | (ids <= VOID_ID), ids.astype(np.int64), interior),
                    [s.id for s in segments],
                )
            )
        pixels = count_intersections(*maps[0], *maps[1])
        intersection, void = pixels[1:-1, 1:-1], pixels[0, 1:-1]
        areas = pixels.sum(1)[1:-1, None] + pixels.sum(0)[1:-1]
        return np.asarray(intersection / np.maximum(areas - intersection - void, 1))

    def add_matches(self, matches: SegmentMatches) -> NDArray[np.float64]:
        """Count the matches of one image; return the counts of this image."""
        image_counts = np.zeros_like(self.counts)
        # One by one into the sums, too: adding the sum of the image instead would round differently.
        for counts in (self.counts, image_counts):
            np.add.at(counts[:, 0], matches.classes, matches.iou)
            np.add.at(counts[:, 1], matches.classes, 1)
            np.add.at(counts[:, 2], matches.false_positives, 1)
            np.add.at(counts[:, 3], matches.false_negatives, 1)
        return image_counts

    def combine(self, other: PanopticQuality | NDArray[np.float64]) -> None:
        """Add the counts of another object, or counts alone: of another process or another file."""
        self.counts += matching_counts(self, other)

    def result(self) -> dict[str, Any]:
        """The scores of everything counted so far, see ``panoptic_scores``."""
        return panoptic_scores(self.counts, self.labels)

    def _check(self, segments: Sequence[Segment | PredictedSegment]) -> None:
        for index, segment in enumerate(segments):
            if not 0 <= segment.class_index < len(self.labels):
                raise ValueError(
                    f"segment {segment.id} has class {segment.class_index}; expected one of the {len(self.labels)} "
                    f"classes of {self.labels.name!r}"
                )
            if index and segment.id == segments[index - 1].id:
                raise ValueError(f"segment {segment.id} is listed twice; expected one entry for each id")


def panoptic_scores(counts: NDArray[np.float64], labels: LabelSpace) -> dict[str, Any]:
    """The scores of counts [classes, 4] (``PanopticQuality.counts``), fractions 0..1. Each ratio is taken once.

    {all | things | stuff: {pq, sq, rq, n, tp, fp, fn, iou_sum}, class: {name: {pq, sq, rq, tp, fp, fn, iou_sum}}}.
    ``tp``, ``fp``, ``fn``: the numbers of matches, false positives and false negatives; ``iou_sum``: the sum of the IoU
    of the matches. Means are over the classes that occur in the ground truth or the prediction; ``n`` is their number.
    SQ is 0 for a class without matches. The scores of a class or group that does not occur are NaN.
    """
    classes: dict[str, dict[str, float]] = {}
    for name, (iou, tp, fp, fn) in zip(labels.names, counts.tolist(), strict=True):
        total = tp + 0.5 * fp + 0.5 * fn
        if total:
            scores = {"pq": iou / total, "sq": iou / tp if tp else 0.0, "rq": tp / total}
        else:
            scores = dict.fromkeys(_SCORES, float("nan"))
        classes[name] = scores | {"tp": int(tp), "fp": int(fp), "fn": int(fn), "iou_sum": iou}
    present = {name: values for name, values in classes.items() if values["pq"] == values["pq"]}
    return {
        "all": _group(present.values()),
        "things": _group(values for name, values in present.items() if name in labels.things),
        "stuff": _group(values for name, values in present.items() if name not in labels.things),
        "class": classes,
    }


def count_intersections(
    truth: NDArray[Any], true_ids: Sequence[int], prediction: NDArray[Any], predicted_ids: Sequence[int]
) -> NDArray[np.int64]:
    """Pixels of each pair of segments, int64 [true ids + 2, predicted ids + 2].

    The first row and column are void, the last ones all ids that are not listed.
    """
    start = run_starts(truth, prediction)
    length = np.diff(start, append=truth.size)
    width = len(predicted_ids) + 2
    rows = _positions(truth.reshape(-1)[start], true_ids, (VOID_ID,))
    columns = _positions(prediction.reshape(-1)[start], predicted_ids, (VOID_ID, -1))
    pixels = np.bincount(rows * width + columns, length, minlength=(len(true_ids) + 2) * width)
    return pixels.astype(np.int64).reshape(-1, width)


def _positions(values: NDArray[Any], ids: Sequence[int], void: tuple[int, ...]) -> NDArray[np.int64]:
    """1 + the position among ``ids``, 0 for void, the last position for any other id."""
    index = index_of(values, ids)
    return np.where(index >= 0, index + 1, np.where(np.isin(values, void), 0, len(ids) + 1))


def _group(classes: Iterable[dict[str, float]]) -> dict[str, float]:
    """The means of the scores of several classes, and the sums of their counts."""
    rows = list(classes)
    group = dict.fromkeys(_SCORES, float("nan")) | {"n": len(rows)}
    for name in _SCORES if rows else ():
        group[name] = _sum(rows, name) / len(rows)
    for name in ("tp", "fp", "fn"):
        group[name] = int(_sum(rows, name))
    return group | {"iou_sum": _sum(rows, "iou_sum")}


def _sum(rows: Iterable[dict[str, float]], name: str) -> float:
    total = 0.0
    for row in rows:  # not sum(), which rounds differently from panopticapi since Python 3.12
        total += row[name]
    return total


def _classes(segments: Sequence[Segment | PredictedSegment]) -> NDArray[np.int64]:
    return np.array([segment.class_index for segment in segments], dtype=np.int64)


def _in_crowd(
    intersection: NDArray[np.int64],
    predicted: Sequence[Segment | PredictedSegment],
    true_segments: Sequence[Segment],
    true: Sequence[Segment],
) -> NDArray[np.int64]:
    """Pixels of each prediction in the crowd of its class: of several crowds the last one listed."""
    row = {segment.id: index for index, segment in enumerate(true)}
    crowd_row = {segment.class_index: row[segment.id] for segment in true_segments if segment.crowd}
    empty_row = len(true)
    rows = np.array([crowd_row.get(segment.class_index, empty_row) for segment in predicted], dtype=np.int64)
    table = np.concatenate([intersection, np.zeros((1, len(predicted)), dtype=np.int64)])
    return table[rows, np.arange(len(predicted))]


def _mismatch(
    prediction: NDArray[Any],
    predicted: Sequence[Segment | PredictedSegment],
    area: NDArray[np.int64],
) -> str:
    for segment, pixels in zip(predicted, area, strict=True):
        if not pixels:
            return f"predicted segment {segment.id} has no pixel in the map; expected at least one"
    unknown = np.setdiff1d(prediction, [-1, VOID_ID, *(segment.id for segment in predicted)])
    return (
        f"the predicted map holds id {unknown[0]}, which is not among its segments; expected an entry for it"
    )
