"""Why segments are not matched: every false negative and every false positive of panoptic quality gets one cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace
from segwright.metrics.panoptic_quality import count_intersections
from segwright.samples import PredictedSegment, Prediction, Sample, Segment

CAUSES = ("wrong class", "merged", "split", "inaccurate", "missed", "spurious")
"""The causes of errors; a segment gets the first one that applies."""

WRONG_CLASS, MERGED, SPLIT, INACCURATE, MISSED, SPURIOUS = range(len(CAUSES))
MATCHED, NOT_COUNTED = -1, -2

MATCH_IOU = 0.5
MIN_IOU = 0.1
"""With a smaller IoU, a true segment is missed and a predicted one is spurious: they have nothing to do with each
other. Bolya et al., TIDE: A general toolbox for identifying object detection errors, ECCV 2020.
"""


@dataclass(frozen=True, slots=True, eq=False)
class SegmentErrors:
    """The segments of one image and the cause of the error of each.

    ``true`` and ``predicted``: the segments, sorted by id. ``true_causes`` and ``predicted_causes``: int64, the index
    of the cause in ``CAUSES``, ``MATCHED``, or ``NOT_COUNTED`` for crowds and for predictions that lie mostly in void
    or in a crowd. ``pixels`` int64 [true, predicted]: the pixels of each pair; ``true_area`` and ``area``: those of
    each true and each predicted segment. ``iou`` float64 [true, predicted]: as panoptic quality defines it, 0 for
    crowds.
    """

    true: tuple[Segment, ...]
    predicted: tuple[PredictedSegment | Segment, ...]
    true_causes: NDArray[np.int64]
    predicted_causes: NDArray[np.int64]
    pixels: NDArray[np.int64]
    true_area: NDArray[np.int64]
    area: NDArray[np.int64]
    iou: NDArray[np.float64]

    def counts(self, classes: int) -> NDArray[np.int64]:
        """Errors of each class, int64 [classes, causes, 2]: false negatives and false positives."""
        counts = np.zeros((classes, len(CAUSES), 2), np.int64)
        for side, (segments, causes) in enumerate(
            ((self.true, self.true_causes), (self.predicted, self.predicted_causes))
        ):
            wrong = causes >= 0
            np.add.at(counts[..., side], (_classes(segments)[wrong], causes[wrong]), 1)
        return counts


def segment_errors(prediction: Prediction, sample: Sample, labels: LabelSpace) -> SegmentErrors:
    """The errors of a panoptic prediction. Matches are those of panoptic quality: the same class, IoU above 0.5.

    In this order, a segment without match is

    - of the *wrong class*: it has an IoU above 0.5 with a segment of another class that has no match either;
    - *merged*: one predicted object covers more than half of each of several true objects;
    - *split*: several predicted objects have more than half of their pixels in one true object, of which together they
      cover more than half;
    - *inaccurate*: it has an IoU of at least 0.1 with a segment of its class that has no match either;
    - else *missed* (a true segment) or *spurious* (a predicted one).

    Only things are merged or split. In the false negatives, merged and split are the true objects; in the false
    positives, the predicted ones.
    """
    assert prediction.panoptic is not None and sample.segments is not None
    true = tuple(sorted(sample.segments, key=lambda segment: segment.id))
    predicted = tuple(sorted(prediction.segments, key=lambda segment: segment.id))
    table = count_intersections(
        sample.map, [s.id for s in true], prediction.panoptic, [s.id for s in predicted]
    )
    pixels, void = table[1:-1, 1:-1], table[0, 1:-1]
    true_area, area = table.sum(1)[1:-1], table.sum(0)[1:-1]
    iou = pixels / np.maximum(area + true_area[:, None] - pixels - void, 1)
    is_crowd = np.array([segment.crowd for segment in true], bool)
    iou[is_crowd] = 0
    same = _classes(true)[:, None] == _classes(predicted)
    match = same & (iou > MATCH_IOU)
    open_true, open_predicted = ~match.any(1) & ~is_crowd, ~match.any(0)
    excused = (void + _in_crowd(pixels, predicted, sample.segments, true)) / np.maximum(area, 1) > 0.5
    things = labels.thing_table()
    objects = things[_classes(true)] & ~is_crowd, things[_classes(predicted)]
    merged, split = _merged_and_split(pixels, true_area, area, objects)
    open_pair = open_true[:, None] & open_predicted
    causes = [
        _first_cause(
            [(open_pair & ~same & (iou > MATCH_IOU)).any(axis), merged[side], split[side],
             (open_pair & same & (iou >= MIN_IOU)).any(axis)],
            last,
        )
        for side, (axis, last) in enumerate(((1, MISSED), (0, SPURIOUS)))
    ]  # fmt: skip
    true_causes = np.where(is_crowd, NOT_COUNTED, np.where(open_true, causes[0], MATCHED))
    predicted_causes = np.where(open_predicted, np.where(excused, NOT_COUNTED, causes[1]), MATCHED)
    return SegmentErrors(true, predicted, true_causes, predicted_causes, pixels, true_area, area, iou)


def _merged_and_split(
    pixels: NDArray[np.int64],
    true_area: NDArray[np.int64],
    area: NDArray[np.int64],
    objects: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> tuple[tuple[NDArray[np.bool_], NDArray[np.bool_]], tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Which true and which predicted segments are merged, and which are split; ``objects``: which are things."""
    is_pair = objects[0][:, None] & objects[1]
    covers = is_pair & (2 * pixels > true_area[:, None])  # the prediction covers most of the true object
    merging = covers.sum(0) > 1
    merged = (covers & merging).any(1), merging
    inside = is_pair & (2 * pixels > area)  # the prediction lies mostly in the true object
    is_split = (inside.sum(1) > 1) & (2 * (pixels * inside).sum(1) > true_area)
    return merged, (is_split, (inside & is_split[:, None]).any(0))


def _first_cause(conditions: list[NDArray[np.bool_]], last: int) -> NDArray[np.int64]:
    """The index of the first condition that holds for each segment, else ``last``."""
    return np.select(conditions, list(range(len(conditions))), default=last).astype(np.int64)


def _classes(segments: Sequence[Segment | PredictedSegment]) -> NDArray[np.int64]:
    return np.array([segment.class_index for segment in segments], np.int64)


def _in_crowd(
    pixels: NDArray[np.int64],
    predicted: Sequence[Segment | PredictedSegment],
    listed: Sequence[Segment],
    true: Sequence[Segment],
) -> NDArray[np.int64]:
    """Pixels of each prediction in the crowd of its class: as in panopticapi, of several crowds the last one listed."""
    row = {segment.id: index for index, segment in enumerate(true)}
    crowds = {segment.class_index: row[segment.id] for segment in listed if segment.crowd}
    result = [
        pixels[crowds[segment.class_index], column] if segment.class_index in crowds else 0
        for column, segment in enumerate(predicted)
    ]
    return np.array(result, np.int64)


@dataclass(frozen=True, slots=True)
class Example:
    """An error to show: its cause, the index of the image, and the ids of the segments that are part of it.

    ``class_index`` and ``area`` in pixels are those of the true segment, or of the predicted one if it is spurious.
    ``other_class``: the class of the prediction if it is wrong, else -1. ``iou``: of the pair, if it is one, else NaN.
    """

    cause: int
    index: int
    true_ids: tuple[int, ...]
    predicted_ids: tuple[int, ...]
    class_index: int
    area: int
    other_class: int = -1
    iou: float = nan


def examples(errors: SegmentErrors, labels: LabelSpace, index: int) -> list[Example]:
    """The largest error of each cause in the image at ``index``; objects come before stuff."""
    things = labels.thing_table()
    result = []
    for cause in range(len(CAUSES)):
        pair = _largest(errors, cause, things)
        if pair is None:
            continue
        row, column = pair
        rows, columns = _participants(errors, cause, row, column, things)
        shown = errors.predicted[column] if cause == SPURIOUS else errors.true[row]
        area = errors.area[column] if cause == SPURIOUS else errors.true_area[row]
        is_pair = cause in (WRONG_CLASS, INACCURATE)
        result.append(
            Example(
                cause,
                index,
                tuple(errors.true[row].id for row in rows),
                tuple(errors.predicted[column].id for column in columns),
                shown.class_index,
                int(area),
                errors.predicted[column].class_index if cause == WRONG_CLASS else -1,
                float(errors.iou[row, column]) if is_pair else nan,
            )
        )
    return result


def _largest(errors: SegmentErrors, cause: int, things: NDArray[np.bool_]) -> tuple[int, int] | None:
    """The largest segment with this cause, as (row of the true, column of the predicted segment): a false negative if
    there is one, else a false positive; -1 for the other side where it has none.
    """
    for segments, causes, area, is_true in (
        (errors.true, errors.true_causes, errors.true_area, True),
        (errors.predicted, errors.predicted_causes, errors.area, False),
    ):
        candidates = np.flatnonzero((causes == cause) & (area > 0))
        if len(candidates):
            order = np.lexsort((area[candidates], things[_classes(segments)[candidates]]))
            chosen = int(candidates[order[-1]])
            return _with_partner(errors, cause, chosen, is_true=is_true, things=things)
    return None


def _with_partner(
    errors: SegmentErrors, cause: int, chosen: int, *, is_true: bool, things: NDArray[np.bool_]
) -> tuple[int, int]:
    """The chosen segment and the one of the other side that overlaps with it most, of those that cause the error."""
    if cause in (MISSED, SPURIOUS):
        return (chosen, -1) if is_true else (-1, chosen)
    own = _classes(errors.true if is_true else errors.predicted)[chosen]
    others = _classes(errors.predicted if is_true else errors.true)
    if cause in (WRONG_CLASS, INACCURATE):
        allowed = (others != own) if cause == WRONG_CLASS else (others == own)
        partner = int(np.argmax((errors.iou[chosen] if is_true else errors.iou[:, chosen]) * allowed))
    else:
        partner = int(
            np.argmax((errors.pixels[chosen] if is_true else errors.pixels[:, chosen]) * things[others])
        )
    return (chosen, partner) if is_true else (partner, chosen)


def _participants(
    errors: SegmentErrors, cause: int, row: int, column: int, things: NDArray[np.bool_]
) -> tuple[list[int], list[int]]:
    """Rows (true segments) and columns (predicted segments) of an error."""
    if cause == SPLIT:
        inside = 2 * errors.pixels[row] > errors.area
        return [row], np.flatnonzero(inside & things[_classes(errors.predicted)]).tolist()
    if cause == MERGED:
        covered = 2 * errors.pixels[:, column] > errors.true_area
        return np.flatnonzero(covered & things[_classes(errors.true)]).tolist(), [column]
    return [row] * (row >= 0), [column] * (column >= 0)
