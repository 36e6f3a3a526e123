from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segwright.labels import LabelSpace
from segwright.metrics.cityscapes_ap import IOU_THRESHOLDS, InstanceOverlaps
from segwright.metrics.vistas_ap import VistasAP

LABELS = LabelSpace("two", ("person", "car"), ((0, 0, 0),) * 2, (0, 1), things=("person", "car"))
MIN_AREA = 6
Interval = tuple[int, int]  # first pixel and length in a row of pixels
Image = tuple[
    list[tuple[Interval, int]], list[tuple[Interval, int, float]], Interval
]  # true, predicted, void


def pixels(interval: Interval) -> set[int]:
    return set(range(interval[0], sum(interval)))


def overlaps(image: Image) -> InstanceOverlaps:
    true, predicted, void = image
    masks = [pixels(interval) for interval, *_ in predicted]
    shared = [[len(pixels(interval) & mask) for mask in masks] for interval, _ in true]
    return InstanceOverlaps(
        intersections=np.array(shared, np.int64).reshape(len(true), len(masks)),
        void=np.array([len(pixels(void) & mask) for mask in masks], np.int64),
        truth_area=np.array([length for (_, length), _ in true], np.int64),
        prediction_area=np.array([len(mask) for mask in masks], np.int64),
        truth_class=np.array([k for _, k in true], np.int64),
        prediction_class=np.array([k for _, k, _ in predicted], np.int64),
        groups=np.zeros(len(true), bool),
        scores=np.array([score for *_, score in predicted], np.float64),
    )


def by_definition(images: list[Image], k: int, threshold: float) -> float:
    """The rules, one pair at a time; the area under the curve in trapezoids."""
    examples: list[tuple[float, bool]] = []
    objects = predictions = 0
    for true, predicted, void in images:
        own = [(pixels(interval), score) for interval, label, score in predicted if label == k]
        known = [pixels(interval) for interval, label in true if label == k]
        large = [mask for mask in known if len(mask) >= MIN_AREA]
        objects, predictions = objects + len(large), predictions + len(own)
        assigned: set[int] = set()
        for mask in large:
            matches = [
                i for i, (other, _) in enumerate(own) if len(mask & other) / len(mask | other) >= threshold
            ]
            best = max(matches, key=lambda i: (own[i][1], -i), default=None)
            examples += [(own[i][1], i == best) for i in matches]
            assigned |= set(matches)
        for i, (mask, score) in enumerate(own):
            free = len(mask & pixels(void)) + sum(
                len(mask & other) for other in known if len(other) < MIN_AREA
            )
            if i not in assigned and free / len(mask) < threshold:
                examples.append((score, False))
    if not objects and not predictions:
        return math.nan
    if not examples or not objects:
        return 0.0
    curve = [(0.0, 1.0)]
    for lowest in sorted({score for score, _ in examples}, reverse=True):
        kept = [hit for score, hit in examples if score >= lowest]
        curve.append((sum(kept) / objects, sum(kept) / len(kept)))
    return sum((b - a) * (p + q) / 2 for (a, p), (b, q) in pairwise(curve))


@st.composite
def scenes(draw: st.DrawFn) -> Image:
    first, true, predicted = 0, [], []
    for _ in range(draw(st.integers(0, 4))):  # objects do not overlap, predictions do
        gap, length = draw(st.integers(0, 4)), draw(st.integers(1, 14))
        true.append(((first + gap, length), draw(st.integers(0, 1))))
        first += gap + length
    for _ in range(draw(st.integers(0, 5))):
        interval = draw(st.integers(0, 30)), draw(st.integers(1, 16))
        predicted.append((interval, draw(st.integers(0, 1)), draw(st.sampled_from([0.2, 0.5, 0.9]))))
    return true, predicted, (first, draw(st.integers(0, 12)))


@settings(deadline=None, max_examples=100)
@given(st.lists(scenes(), max_size=4))
def test_it_equals_the_rules_applied_pair_by_pair(images: list[Image]) -> None:
    metric, other = VistasAP(LABELS, MIN_AREA), VistasAP(LABELS, MIN_AREA)
    for number, image in enumerate(images):
        (metric if number % 2 else other).add_overlaps(overlaps(image))
    metric.combine(other)
    result = metric.result()
    for k, name in enumerate(LABELS.names):
        expected = [by_definition(images, k, threshold) for threshold in IOU_THRESHOLDS.tolist()]
        assert list(result["class"][name]["ap_by_overlap"].values()) == pytest.approx(expected, nan_ok=True)


def ap(*images: Image) -> dict[str, Any]:
    metric = VistasAP(LABELS, MIN_AREA)
    for image in images:
        metric.add_overlaps(overlaps(image))
    return metric.result()


def test_an_iou_of_one_half_is_a_match() -> None:
    result = ap(([((0, 10), 0)], [((0, 20), 0, 0.5)], (0, 0)))
    assert result["class"]["person"]["ap_by_overlap"]["0.50"] == 1
    assert result["class"]["person"]["ap_by_overlap"]["0.55"] == 0


def test_a_class_that_is_predicted_but_does_not_occur_has_an_ap_of_zero() -> None:
    result = ap(([], [((0, 10), 1, 0.5)], (0, 0)))
    assert result["class"]["car"]["ap"] == 0
    assert math.isnan(result["class"]["person"]["ap"])
    assert (result["all"]["ap"], result["all"]["n"]) == (0, 1)
