"""Objects of a video keep their ids: segments of consecutive frames are matched by their overlap."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace
from segwright.samples import PredictedSegment, Prediction, index_of


@dataclass(slots=True)
class SegmentTracker:
    """Gives the objects of each frame the ids that they had in the frame before.

    Things of one class are matched so that the sum of their IoU is largest (the Hungarian method). A pair below
    ``min_iou`` is no match. An object without a match gets the lowest number that its class never had; once all
    numbers below ``divisor`` were used, the lowest one that is free. Ids are class index * ``divisor`` + number, as in
    ``Prediction.panoptic``; stuff keeps its id.
    """

    labels: LabelSpace
    divisor: int = 1000
    min_iou: float = 0.1
    _previous: Prediction | None = field(default=None, init=False, repr=False)
    _highest: dict[int, int] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, prediction: Prediction) -> Prediction:
        """The prediction of the next frame with new ids; unchanged if it has no segments."""
        if prediction.panoptic is None:
            return prediction
        things = self.labels.thing_table()
        objects = [segment for segment in prediction.segments if things[segment.class_index]]
        matches = self._matches(prediction, objects)
        numbers = self._numbers(objects, matches)
        ids = {
            segment.id: segment.class_index * self.divisor + number
            for segment, number in zip(objects, numbers, strict=True)
        }
        tracked = _renamed(prediction, ids)
        self._previous = tracked
        return tracked

    def _matches(self, prediction: Prediction, objects: list[PredictedSegment]) -> dict[int, int]:
        """Position of an object in this frame -> its id in the frame before."""
        before = self._previous
        if before is None or before.panoptic is None or prediction.panoptic is None:
            return {}
        if before.panoptic.shape != prediction.panoptic.shape:
            return {}
        from scipy.optimize import linear_sum_assignment

        things = self.labels.thing_table()
        earlier = [segment for segment in before.segments if things[segment.class_index]]
        iou = _overlaps(prediction.panoptic, before.panoptic, objects, earlier)
        same = np.array([s.class_index for s in objects]).reshape(-1, 1) == [s.class_index for s in earlier]
        iou = np.where(same & (iou >= self.min_iou), iou, 0)
        rows, columns = linear_sum_assignment(iou, maximize=True)
        return {
            int(row): earlier[column].id
            for row, column in zip(rows, columns, strict=True)
            if iou[row, column] > 0
        }

    def _numbers(self, objects: list[PredictedSegment], matches: dict[int, int]) -> list[int]:
        """The instance number of each object."""
        used = {(identity // self.divisor, identity % self.divisor) for identity in matches.values()}
        numbers = []
        for position, segment in enumerate(objects):
            if position in matches:
                numbers.append(matches[position] % self.divisor)
                continue
            number = self._highest.get(segment.class_index, 0) + 1
            if number >= self.divisor:
                free = (n for n in range(1, self.divisor) if (segment.class_index, n) not in used)
                number = next(free)
            self._highest[segment.class_index] = max(number, self._highest.get(segment.class_index, 0))
            used.add((segment.class_index, number))
            numbers.append(number)
        return numbers


def _overlaps(
    current: NDArray[Any],
    before: NDArray[Any],
    objects: list[PredictedSegment],
    earlier: list[PredictedSegment],
) -> NDArray[np.float64]:
    """The IoU of each object with each of the frame before, [objects, earlier]."""
    rows, columns = len(objects) + 1, len(earlier) + 1  # one more each: pixels of no object, index -1
    index = index_of(current, [segment.id for segment in objects]) % rows
    index_before = index_of(before, [segment.id for segment in earlier]) % columns
    pixels = np.bincount((index * columns + index_before).ravel(), minlength=rows * columns)
    table = pixels.reshape(rows, columns)
    common = table[:-1, :-1]
    union = table.sum(1)[:-1, None] + table.sum(0)[None, :-1] - common
    return np.asarray(common / np.maximum(union, 1), dtype=np.float64)


def _renamed(prediction: Prediction, ids: dict[int, int]) -> Prediction:
    """The prediction with other ids of segments: old -> new."""
    assert prediction.panoptic is not None
    old = [segment.id for segment in prediction.segments]
    segments = tuple(replace(segment, id=ids.get(segment.id, segment.id)) for segment in prediction.segments)
    table = np.array([*(segment.id for segment in segments), -1], dtype=np.int32)  # index -1: void
    return replace(prediction, panoptic=table[index_of(prediction.panoptic, old)], segments=segments)
