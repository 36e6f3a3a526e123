"""The cause of each unmatched segment: constructed cases, and the totals of panoptic quality."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segwright.analysis.errors.objects import (
    CAUSES,
    INACCURATE,
    MATCHED,
    MERGED,
    MISSED,
    NOT_COUNTED,
    SPLIT,
    SPURIOUS,
    WRONG_CLASS,
    examples,
    segment_errors,
)
from segwright.labels import LabelSpace
from segwright.metrics.panoptic_quality import PanopticQuality
from segwright.samples import PredictedSegment, Prediction, Sample, Segment

LABELS = LabelSpace.of("road", "car", "person", things=("car", "person"))
ROAD, CAR, PERSON = range(3)
Boxes = list[tuple[int, int, int, int, int]]  # class, top, left, bottom, right


def sample_of(boxes: Boxes, *, crowds: tuple[int, ...] = (), size: tuple[int, int] = (40, 60)) -> Sample:
    """Road with boxes on it; ``crowds`` are the numbers of boxes that are crowds; a class of -1 is void."""
    ids = np.ones(size, np.int32)
    segments = {1: Segment(1, ROAD)}
    for number, (owner, top, left, bottom, right) in enumerate(boxes):
        ids[top:bottom, left:right] = 0 if owner < 0 else 10 + number
        if owner >= 0:
            segments[10 + number] = Segment(10 + number, owner, crowd=number in crowds)
    present = set(np.unique(ids).tolist())
    return Sample(
        np.zeros((*size, 3), np.uint8), ids, "a", tuple(s for i, s in segments.items() if i in present)
    )


def prediction_of(boxes: Boxes, *, size: tuple[int, int] = (40, 60)) -> Prediction:
    ids = np.zeros(size, np.int32)  # class road, divisor 1000
    owners = {0: ROAD}
    for number, (owner, top, left, bottom, right) in enumerate(boxes, start=1):
        value = -1 if owner < 0 else owner * 1000 + (number if owner != ROAD else 0)
        ids[top:bottom, left:right] = value
        if owner >= 0:
            owners[value] = owner
    values, areas = np.unique(ids, return_counts=True)
    segments = tuple(
        PredictedSegment(int(value), owners[int(value)], int(area), 1.0)
        for value, area in zip(values, areas, strict=True)
        if value >= 0
    )
    return Prediction((ids // 1000).astype(np.uint8), ids, segments)


def causes(truth: Boxes, prediction: Boxes, **options: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """The causes of the true and of the predicted boxes, without the road."""
    errors = segment_errors(prediction_of(prediction), sample_of(truth, **options), LABELS)
    assert errors.true[0].class_index == ROAD and errors.predicted[0].class_index == ROAD
    assert errors.true_causes[0] == MATCHED and errors.predicted_causes[0] == MATCHED
    return errors.true_causes[1:].tolist(), errors.predicted_causes[1:].tolist()


def test_a_found_object_has_no_error() -> None:
    assert causes([(CAR, 5, 5, 15, 15)], [(CAR, 5, 5, 15, 14)]) == ([MATCHED], [MATCHED])


def test_an_object_without_prediction_is_missed_and_one_without_object_is_spurious() -> None:
    assert causes([(CAR, 5, 5, 15, 15)], [(CAR, 20, 40, 30, 50)]) == ([MISSED], [SPURIOUS])


def test_a_good_mask_of_another_class_is_of_the_wrong_class() -> None:
    assert causes([(CAR, 5, 5, 15, 15)], [(PERSON, 5, 5, 15, 14)]) == ([WRONG_CLASS], [WRONG_CLASS])


def test_one_prediction_over_two_objects_merges_both() -> None:
    assert causes([(CAR, 5, 5, 15, 15), (CAR, 5, 15, 15, 25)], [(CAR, 5, 5, 15, 25)]) == (
        [MERGED, MERGED],
        [MERGED],
    )


def test_a_merged_object_may_be_the_small_one_beside_a_match() -> None:
    # The IoU with the large object is 200 / 250: a match; the small one has no prediction of its own.
    truth = [(CAR, 5, 5, 15, 25), (CAR, 5, 25, 15, 30)]
    assert causes(truth, [(CAR, 5, 5, 15, 30)]) == ([MATCHED, MERGED], [MATCHED])


def test_predictions_that_share_an_object_split_it() -> None:
    prediction = [(CAR, 5, 5, 15, 15), (CAR, 5, 15, 15, 25)]
    assert causes([(CAR, 5, 5, 15, 25)], prediction) == ([SPLIT], [SPLIT, SPLIT])


def test_a_second_prediction_in_a_matched_object_is_split_off() -> None:
    prediction = [(CAR, 5, 5, 15, 20), (CAR, 5, 20, 15, 25)]
    assert causes([(CAR, 5, 5, 15, 25)], prediction) == ([MATCHED], [MATCHED, SPLIT])


def test_two_small_parts_do_not_split_an_object_that_they_do_not_cover() -> None:
    prediction = [(CAR, 5, 5, 15, 7), (CAR, 5, 20, 15, 22)]
    # 4 of 20 columns are covered, each part has an IoU of 0.1.
    assert causes([(CAR, 5, 5, 15, 25)], prediction) == ([INACCURATE], [INACCURATE, INACCURATE])


@pytest.mark.parametrize(("width", "cause"), [(9, INACCURATE), (2, INACCURATE), (1, MISSED)])
def test_a_mask_of_the_right_class_with_a_small_iou_is_inaccurate(width: int, cause: int) -> None:
    true, predicted = causes([(CAR, 5, 5, 15, 25)], [(CAR, 5, 5, 15, 5 + width)])
    assert true == [cause]
    assert predicted == [SPURIOUS if cause == MISSED else cause]


def test_stuff_under_an_object_does_not_merge_it() -> None:
    assert causes([(CAR, 5, 5, 15, 15), (PERSON, 20, 5, 30, 15)], []) == ([MISSED, MISSED], [])


def test_crowds_and_predictions_in_them_do_not_count() -> None:
    truth, prediction = [(CAR, 5, 5, 25, 25)], [(CAR, 5, 5, 15, 15), (CAR, 15, 15, 25, 25)]
    assert causes(truth, prediction, crowds=(0,)) == ([NOT_COUNTED], [NOT_COUNTED, NOT_COUNTED])


def test_predictions_in_void_do_not_count() -> None:
    errors = segment_errors(prediction_of([(CAR, 5, 5, 15, 15)]), sample_of([(-1, 5, 5, 15, 14)]), LABELS)
    assert errors.predicted_causes[1:].tolist() == [NOT_COUNTED]


box = st.tuples(
    st.sampled_from([-1, ROAD, CAR, CAR, PERSON]), st.integers(0, 30), st.integers(0, 50), st.integers(3, 20),
    st.integers(3, 20),
).map(lambda b: (b[0], b[1], b[2], b[1] + b[3], b[2] + b[4]))  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(box, max_size=8), st.lists(box, max_size=8), st.sets(st.integers(0, 7), max_size=2))
def test_the_causes_add_up_to_the_errors_of_panoptic_quality(
    truth: Boxes, boxes: Boxes, crowds: set[int]
) -> None:
    sample, prediction = sample_of(truth, crowds=tuple(crowds)), prediction_of(boxes)
    assert prediction.panoptic is not None and sample.segments is not None
    quality = PanopticQuality(LABELS)
    quality.add(prediction.panoptic, prediction.segments, sample.map, sample.segments)
    errors = segment_errors(prediction, sample, LABELS)
    counts = errors.counts(len(LABELS))
    np.testing.assert_array_equal(counts[:, :, 0].sum(1), quality.counts[:, 3])
    np.testing.assert_array_equal(counts[:, :, 1].sum(1), quality.counts[:, 2])
    matched = [
        s.class_index for s, cause in zip(errors.true, errors.true_causes, strict=True) if cause == MATCHED
    ]
    np.testing.assert_array_equal(np.bincount(matched, minlength=3), quality.counts[:, 1])
    assert not counts[:, SPURIOUS, 0].any()
    assert not counts[:, MISSED, 1].any()
    assert not counts[ROAD, [MERGED, SPLIT]].any()


@settings(max_examples=100, deadline=None)
@given(st.lists(box, max_size=8), st.lists(box, max_size=8))
def test_every_cause_that_occurs_has_an_example_of_segments_of_the_image(truth: Boxes, boxes: Boxes) -> None:
    sample, prediction = sample_of(truth), prediction_of(boxes)
    errors = segment_errors(prediction, sample, LABELS)
    shown = examples(errors, LABELS, 5)
    occurring = {int(cause) for cause in (*errors.true_causes, *errors.predicted_causes) if cause >= 0}
    assert {example.cause for example in shown} == occurring
    for example in shown:
        assert example.index == 5
        assert set(example.true_ids) <= {segment.id for segment in errors.true}
        assert set(example.predicted_ids) <= {segment.id for segment in errors.predicted}
        assert bool(example.true_ids) == (example.cause != SPURIOUS)
        assert bool(example.predicted_ids) == (example.cause != MISSED)
        assert len(example.true_ids) > 1 or example.cause != MERGED
        assert len(example.predicted_ids) > 1 or example.cause != SPLIT
        assert example.area > 0


def test_an_example_shows_the_objects_that_are_merged() -> None:
    truth = [(CAR, 5, 5, 15, 15), (CAR, 5, 15, 15, 25), (CAR, 30, 30, 35, 35)]
    (merged, missed) = examples(
        segment_errors(prediction_of([(CAR, 5, 5, 15, 25)]), sample_of(truth), LABELS), LABELS, 0
    )
    assert (CAUSES[merged.cause], merged.true_ids, merged.predicted_ids) == ("merged", (10, 11), (1001,))
    assert (CAUSES[missed.cause], missed.true_ids, missed.predicted_ids, missed.area) == (
        "missed",
        (12,),
        (),
        25,
    )
