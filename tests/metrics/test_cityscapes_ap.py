from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segwright.data.reading.rle import encode_masks
from segwright.labels import LabelSpace
from segwright.metrics.cityscapes_ap import IOU_THRESHOLDS, CityscapesAP, InstanceOverlaps
from segwright.samples import PredictedInstance, PredictedSegment, Prediction, Segment

LABELS = LabelSpace(
    "streets", ("road", "person", "car"), ((0, 0, 0),) * 3, (7, 24, 26), (0,), ("person", "car")
)
Image = tuple[np.ndarray, list[PredictedSegment], np.ndarray, list[Segment]]


def row(*runs: tuple[int, int]) -> np.ndarray:
    """One row of (id, length)."""
    return np.repeat([i for i, _ in runs], [n for _, n in runs]).astype(np.int32)[None]


def persons(*scores: float) -> list[PredictedSegment]:
    """Predictions 1, 2, ... of these scores."""
    return [PredictedSegment(1 + i, 1, 0, score) for i, score in enumerate(scores)]


def person(image: Image, min_area: int = 100) -> dict[str, float]:
    metric = CityscapesAP(LABELS, min_area)
    metric.add(*image)
    return metric.result()["class"]["person"]  # type: ignore[no-any-return]


def by_definition(images: list[Image], k: int, overlap: float, min_area: int) -> float:
    """The rules, one pair and one threshold at a time."""
    examples: list[tuple[float, bool]] = []
    objects = predictions = 0
    for prediction, predicted, truth, segments in images:
        masks = {s.id: truth == s.id for s in segments if s.class_index == k}
        real = {s.id for s in segments if s.id in masks and not s.crowd and masks[s.id].sum() >= min_area}
        own = [(s.score, prediction == s.id) for s in predicted if s.class_index == k]
        own = [(score, mask) for score, mask in own if mask.any()]
        objects += len(real)
        predictions += len(own)
        match = [
            {i for i, m in masks.items() if (m & mask).sum() / (m | mask).sum() > overlap} for _, mask in own
        ]
        for i in real:
            matches = sorted(score for (score, _), ids in zip(own, match, strict=True) if i in ids)
            examples += [(score, n == len(matches) - 1) for n, score in enumerate(matches)]
        for (score, mask), ids in zip(own, match, strict=True):
            free = (truth[mask] == 0).sum()
            for s in segments:
                if s.class_index == k:
                    inside = (masks[s.id] & mask).sum()
                    free += inside * s.crowd + inside * (masks[s.id].sum() < min_area)
            if not ids and free / mask.sum() <= overlap:
                examples.append((score, False))
    if not objects or not predictions:
        return 0.0 if objects else math.nan
    curve = [(1.0, 0.0)]
    for threshold in sorted({score for score, _ in examples}, reverse=True):
        kept = [hit for score, hit in examples if score >= threshold]
        curve.append((sum(kept) / len(kept), sum(kept) / objects))
    recall = [r for _, r in curve]
    around = [0.0, *recall, recall[-1]]
    return sum(
        p * (after - before) / 2 for (p, _), before, after in zip(curve, around, around[2:], strict=False)
    )


@st.composite
def scenes(draw: st.DrawFn) -> Image:
    size = draw(st.integers(8, 60))
    truth, prediction = np.zeros((1, size), np.int32), np.full((1, size), -1, np.int32)
    segments, predicted = [], []
    for number in range(draw(st.integers(0, 5))):
        first, length = draw(st.integers(0, size - 1)), draw(st.integers(1, 25))
        truth[0, first : first + length] = 10 + number
        segments.append(Segment(10 + number, draw(st.integers(0, 2)), draw(st.booleans())))
    for number in range(draw(st.integers(0, 5))):
        first, length = draw(st.integers(0, size - 1)), draw(st.integers(1, 25))
        prediction[0, first : first + length] = 100 + number
        score = draw(st.sampled_from([0.1, 0.3, 0.5, 0.9]))
        predicted.append(PredictedSegment(100 + number, draw(st.integers(1, 2)), length, score))
    return prediction, predicted, truth, segments


@settings(deadline=None, max_examples=100)
@given(st.lists(scenes(), max_size=4))
def test_it_equals_the_rules_applied_pair_by_pair(images: list[Image]) -> None:
    halves = CityscapesAP(LABELS, 6), CityscapesAP(LABELS, 6)
    for number, image in enumerate(images):
        halves[number % 2].add(*image)
    other = CityscapesAP(LABELS, 6)
    for half in halves:
        other.combine(half)
    halves[0].combine(halves[1].state)
    result = halves[0].result()
    assert repr(other.result()) == repr(result)
    for k, name in ((1, "person"), (2, "car")):
        expected = [by_definition(images, k, overlap, 6) for overlap in IOU_THRESHOLDS]
        assert result["class"][name]["ap"] == pytest.approx(np.mean(expected), nan_ok=True)
        assert result["class"][name]["ap50"] == pytest.approx(expected[0], nan_ok=True)
        by_overlap = list(result["class"][name]["ap_by_overlap"].values())
        assert by_overlap == pytest.approx(expected, nan_ok=True)
    here = [v for v in result["class"].values() if not math.isnan(v["ap"])]
    assert result["all"]["n"] == len(here)
    if here:
        assert result["all"]["ap"] == pytest.approx(np.mean([v["ap"] for v in here]))


def test_an_iou_of_one_half_is_no_match() -> None:
    truth, segments = row((1, 200)), [Segment(1, 1)]
    assert person((row((1, 101), (-1, 99)), persons(0.5), truth, segments))["ap50"] == 1
    assert person((row((1, 100), (-1, 100)), persons(0.5), truth, segments))["ap50"] == 0


def test_objects_below_a_hundred_pixels_are_neither_found_nor_missed() -> None:
    truth = row((1, 99), (2, 100))
    image = row((1, 99), (2, 100)), persons(0.9, 0.5), truth, [Segment(1, 1), Segment(2, 1)]
    assert person(image)["ap"] == 1
    assert math.isnan(person(image, min_area=101)["ap"])
    assert math.isnan(person(image, min_area=101)["ap50"])


def test_of_two_predictions_of_one_object_the_higher_score_is_the_hit() -> None:
    numbers = {
        "truth_area": [100],
        "prediction_area": [100, 100],
        "truth_class": [1],
        "prediction_class": [1, 1],
        "void": [0, 0],
    }
    arrays = {name: np.array(values) for name, values in numbers.items()}
    metric = CityscapesAP(LABELS)
    image = InstanceOverlaps(
        np.array([[90, 80]]), groups=np.array([False]), scores=np.array([0.5, 0.9]), **arrays
    )
    metric.add_overlaps(image)  # IoU 0.82 and 0.67
    examples = metric.state[0]
    assert sorted(examples[examples[:, 1] == 0, 2:].tolist()) == [[0.5, 0.0], [0.9, 1.0]]
    assert sorted(examples[examples[:, 1] == 4, 2:].tolist()) == [[0.5, 1.0], [0.9, 0.0]]
    assert metric.result()["class"]["person"]["ap50"] == 1


def test_void_groups_and_small_objects_excuse_a_prediction_together() -> None:
    segments = [Segment(1, 1), Segment(2, 1, crowd=True), Segment(3, 1), Segment(4, 0)]
    truth = row((1, 200), (4, 90), (0, 30), (3, 30), (2, 100))
    sure = row((1, 200), (2, 180), (-1, 70)), persons(0.5, 0.9), truth, segments
    assert person(sure)["ap50"] == 0.25  # half of it is road: false
    less = row((1, 200), (-1, 80), (2, 100), (-1, 70)), persons(0.5, 0.9), truth, segments
    assert person(less)["ap50"] == 1  # 90 of 100 pixels do not count


def test_classes_that_do_not_occur_are_nan() -> None:
    result = CityscapesAP(LABELS).result()
    assert result["all"]["n"] == 0
    assert math.isnan(result["all"]["ap"])
    metric = CityscapesAP(LABELS)
    metric.add(row((1, 200)), persons(0.5), row((1, 200)), [Segment(1, 2)])
    result = metric.result()
    zeros = dict.fromkeys((f"{overlap:.2f}" for overlap in IOU_THRESHOLDS), 0.0)
    assert result["class"]["car"] == {"ap": 0.0, "ap50": 0.0, "ap_by_overlap": zeros}
    assert math.isnan(result["class"]["person"]["ap"])
    assert result["all"] == {"ap": 0.0, "ap50": 0.0, "ap_by_overlap": zeros, "n": 1}


def test_maps_of_unequal_size_are_an_error() -> None:
    with pytest.raises(ValueError, match="expected equal sizes"):
        CityscapesAP(LABELS).add(row((1, 2)), [], row((1, 3)), [])


def instances(image: Image) -> Prediction:
    """The same objects as instances beside an empty map."""
    prediction, predicted, _, _ = image
    kept = [s for s in predicted if s.class_index and (prediction == s.id).any()]
    masks = encode_masks(prediction, [s.id for s in kept])
    objects = tuple(
        PredictedInstance(s.class_index, mask, 0, s.score) for s, mask in zip(kept, masks, strict=True)
    )
    return Prediction(np.zeros(prediction.shape, np.uint8), instances=objects)


def test_instances_beside_the_map_count_as_its_segments_do() -> None:
    random = np.random.default_rng(2)
    whole, beside = CityscapesAP(LABELS, 5), CityscapesAP(LABELS, 5)
    for _ in range(8):
        ids, truth = (
            np.repeat(random.integers(0, 5, 30), 8).astype(np.int32).reshape(6, 40) for _ in range(2)
        )
        predicted = [PredictedSegment(i, 1 + i % 2, 0, float(random.random())) for i in range(1, 5)]
        true = [Segment(1, 1), Segment(2, 2, True), Segment(3, 0), Segment(4, 1)]
        image = (ids, predicted, truth, true)
        whole.add(*image)
        beside.add_prediction(instances(image), truth, true)
    np.testing.assert_equal(beside.result(), whole.result())


def test_an_id_without_a_segment_is_void_for_maps_and_for_instances() -> None:
    truth, true = row((1, 200), (9, 150)), [Segment(1, 1)]
    image = (row((1, 200), (2, 150)), persons(0.5, 0.9), truth, true)
    whole, beside = CityscapesAP(LABELS), CityscapesAP(LABELS)
    whole.add(*image)
    beside.add_prediction(instances(image), truth, true)
    assert whole.result()["class"]["person"]["ap"] == beside.result()["class"]["person"]["ap"] == 1
