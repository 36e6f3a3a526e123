"""Pictures of errors show the segments that belong to the error."""

from __future__ import annotations

import numpy as np
import pytest

from segwright.analysis.errors.objects import INACCURATE, MERGED, MISSED, SPURIOUS, WRONG_CLASS, Example
from segwright.analysis.reports.error_examples import draw, title
from segwright.labels import LabelSpace
from segwright.samples import PredictedSegment, Prediction, Sample, Segment

LABELS = LabelSpace.of("road", "car", "person", things=("car", "person"))


def scene() -> tuple[Sample, Prediction]:
    ids = np.ones((200, 300), np.int32)
    ids[20:60, 30:90] = 7
    panoptic = np.zeros((200, 300), np.int32)
    panoptic[100:180, 200:290] = 1001
    segments = (PredictedSegment(0, 0, 52_800, 1.0), PredictedSegment(1001, 1, 7_200, 1.0))
    image = np.full((200, 300, 3), 120, np.uint8)
    sample = Sample(image, ids, "a", (Segment(1, 0), Segment(7, 1)))
    return sample, Prediction((panoptic // 1000).astype(np.uint8), panoptic, segments)


def outline(picture: np.ndarray) -> int:
    return int((picture == 255).all(-1).sum())


def test_a_missed_object_is_outlined_in_the_ground_truth_only() -> None:
    truth, prediction = draw(Example(MISSED, 0, (7,), (), 1, 2400), *scene(), LABELS)
    assert truth.shape == prediction.shape
    assert max(truth.shape[:2]) == 300  # enlarged from the 108 pixels around the object
    assert outline(truth) > 500
    assert outline(prediction) == 0


def test_a_spurious_object_is_outlined_in_the_prediction_only() -> None:
    truth, prediction = draw(Example(SPURIOUS, 0, (), (1001,), 1, 7200), *scene(), LABELS)
    assert outline(truth) == 0
    assert outline(prediction) > 500


def test_segments_that_are_gone_leave_the_whole_image() -> None:
    truth, _ = draw(Example(SPURIOUS, 0, (), (2001,), 1, 10), *scene(), LABELS)
    assert truth.shape == (200, 300, 3)


@pytest.mark.parametrize(
    ("example", "text"),
    [
        (Example(MISSED, 0, (7,), (), 1, 9), "car"),
        (Example(WRONG_CLASS, 0, (7,), (2001,), 1, 9, other_class=2), "car, predicted as person"),
        (Example(INACCURATE, 0, (7,), (1001,), 1, 9, iou=0.314), "car, IoU 31%"),
        (Example(MERGED, 0, (7, 8), (1001,), 1, 9), "car: 2 true, 1 predicted"),
    ],
)
def test_titles_say_what_an_example_is(example: Example, text: str) -> None:
    assert title(example, LABELS) == text
