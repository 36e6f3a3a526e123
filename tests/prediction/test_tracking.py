from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segwright.labels import LabelSpace
from segwright.prediction.tracking import SegmentTracker
from segwright.samples import PredictedSegment, Prediction

LABELS = LabelSpace.of("road", "car", "person", things=["car", "person"])


def frame(objects: dict[int, tuple[int, int]], classes: dict[int, int] | None = None) -> Prediction:
    """A line of 100 pixels: id -> (first pixel, behind the last one); the rest is road, id 0."""
    panoptic = np.zeros((1, 100), np.int32)
    for identity, (start, stop) in objects.items():
        panoptic[0, start:stop] = identity
    panoptic[0, 99] = -1
    ids = [0, *objects]
    segments = tuple(PredictedSegment(i, i // 1000, int((panoptic == i).sum()), 0.5) for i in ids)
    semantic = (panoptic // 1000).astype(np.uint8)
    return Prediction(semantic, panoptic, segments)


def id_at(prediction: Prediction, x: int) -> int:
    assert prediction.panoptic is not None
    return int(prediction.panoptic[0, x])


def test_objects_keep_their_ids_when_their_order_changes() -> None:
    track = SegmentTracker(LABELS)
    first = track(frame({1001: (10, 20), 1002: (50, 60)}))
    second = track(frame({1001: (51, 61), 1002: (12, 22)}))
    assert id_at(first, 15) == id_at(second, 15)
    assert id_at(first, 55) == id_at(second, 55)
    assert {segment.id for segment in second.segments} == {0, 1001, 1002}
    assert id_at(second, 99) == -1


def test_a_new_object_gets_a_number_that_was_never_used() -> None:
    track = SegmentTracker(LABELS)
    track(frame({1001: (10, 20), 1002: (50, 60)}))
    track(frame({1001: (50, 60)}))  # the first one is gone
    third = track(frame({1001: (10, 20), 1002: (50, 60)}))
    assert id_at(third, 55) == 1002
    assert id_at(third, 15) == 1003


def test_another_class_or_little_overlap_is_no_match() -> None:
    track = SegmentTracker(LABELS, min_iou=0.5)
    track(frame({1001: (10, 20)}))
    assert id_at(track(frame({2001: (10, 20)})), 15) == 2001
    assert id_at(track(frame({2001: (16, 26)})), 18) == 2002


def test_free_numbers_are_used_again_below_the_divisor() -> None:
    track = SegmentTracker(LABELS, divisor=1000)
    track._highest[1] = 999
    second = track(frame({1001: (10, 20), 1002: (50, 60)}))
    assert sorted(segment.id for segment in second.segments) == [0, 1001, 1002]


def test_maps_without_segments_and_new_sizes_are_taken_as_they_are() -> None:
    track = SegmentTracker(LABELS)
    semantic = Prediction(np.zeros((4, 4), np.uint8))
    assert track(semantic) is semantic
    track(frame({1001: (10, 20)}))
    panoptic = np.full((2, 2), 1001, np.int32)
    other = Prediction(np.ones((2, 2), np.uint8), panoptic, (PredictedSegment(1001, 1, 4, 0.5),))
    assert track(other).segments[0].id == 1002


def iou(a: tuple[int, int], b: tuple[int, int]) -> float:
    common = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    return common / (a[1] - a[0] + b[1] - b[0] - common)


def spans() -> st.SearchStrategy[list[tuple[int, int]]]:
    """Up to four objects that do not overlap."""
    points = st.lists(st.integers(0, 98), min_size=0, max_size=8, unique=True)
    return points.map(sorted).map(lambda p: list(zip(p[::2], p[1::2], strict=False)))


@settings(max_examples=80, deadline=None)
@given(before=spans(), after=spans())
def test_the_matching_has_the_largest_sum_of_overlaps(
    before: list[tuple[int, int]], after: list[tuple[int, int]]
) -> None:
    track = SegmentTracker(LABELS, min_iou=0.1)
    first = track(frame({1001 + i: span for i, span in enumerate(before)}))
    second = track(frame({1001 + i: span for i, span in enumerate(after)}))
    assert len({segment.id for segment in second.segments}) == len(second.segments)
    table = np.array([[iou(a, b) for b in before] for a in after]).reshape(len(after), len(before))
    table = np.where(table >= 0.1, table, 0)
    found = sum(
        table[i, j]
        for (i, a), (j, b) in itertools.product(enumerate(after), enumerate(before))
        if id_at(second, a[0]) == id_at(first, b[0])
    )
    size = max(len(before), len(after))
    square = np.zeros((size, size))
    square[: len(after), : len(before)] = table
    best = max(
        (sum(square[i, p] for i, p in enumerate(order)) for order in itertools.permutations(range(size))),
        default=0.0,
    )
    assert abs(found - best) < 1e-9
