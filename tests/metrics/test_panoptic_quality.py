from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segwright.data.datasets.coco_panoptic import CLASSES
from segwright.labels import LabelSpace
from segwright.metrics.panoptic_quality import PanopticQuality
from segwright.samples import PredictedSegment, Segment

LABELS = LabelSpace("four", tuple("abcd"), ((0, 0, 0),) * 4, (0, 1, 2, 3), things=("c", "d"))


def predictions(*classes: int) -> list[PredictedSegment]:
    """Segments 1, 2, ... of these classes."""
    return [PredictedSegment(1 + i, c, 0, 1.0) for i, c in enumerate(classes)]


def row(*runs: tuple[int, int]) -> np.ndarray:
    """One row of (id, length)."""
    return np.repeat([i for i, _ in runs], [n for _, n in runs]).astype(np.int32)[None]


def counted(prediction: np.ndarray, predicted: list, truth: np.ndarray, segments: list) -> list[list[float]]:
    return PanopticQuality(LABELS).add(prediction, predicted, truth, segments).tolist()


def by_definition(prediction: np.ndarray, predicted: list, truth: np.ndarray, segments: list) -> np.ndarray:
    """The counts by the rules, one pair of segments at a time."""
    sums = np.zeros((4, 4))
    crowds = {s.class_index: s.id for s in segments if s.crowd}
    matched_true, matched_predictions = set(), set()
    for true in segments:
        for own in predicted:
            inside = int(((truth == true.id) & (prediction == own.id)).sum())
            void = int(((truth == 0) & (prediction == own.id)).sum())
            union = int((truth == true.id).sum() + (prediction == own.id).sum()) - inside - void
            if not true.crowd and true.class_index == own.class_index and inside / max(union, 1) > 0.5:
                sums[own.class_index, :2] += inside / union, 1
                matched_true.add(true.id)
                matched_predictions.add(own.id)
    for true in segments:
        sums[true.class_index, 3] += true.id not in matched_true and not true.crowd
    for own in predicted:
        mask = prediction == own.id
        free = (truth[mask] == 0).sum() + (truth[mask] == crowds.get(own.class_index, -9)).sum()
        sums[own.class_index, 2] += own.id not in matched_predictions and free / mask.sum() <= 0.5
    return sums


SIZES = st.tuples(st.integers(1, 6), st.integers(1, 9))


@settings(deadline=None, max_examples=150)
@given(st.data(), SIZES)
def test_it_equals_the_rules_applied_pair_by_pair(data: st.DataObject, size: tuple[int, int]) -> None:
    ids = st.integers(0, 5)
    coarse = data.draw(arrays.arrays(np.int32, size, elements=ids))
    truth = np.kron(coarse, np.ones((2, 3), np.int32))
    prediction = np.where(data.draw(arrays.arrays(np.bool_, truth.shape)), truth, np.roll(truth, 1))
    kinds = st.lists(st.integers(0, 3), min_size=5, max_size=5)
    classes, other = data.draw(kinds), data.draw(kinds)
    crowds = data.draw(st.lists(st.booleans(), min_size=5, max_size=5))
    segments = [Segment(1 + i, classes[i], crowds[i] and classes[i] > 1) for i in range(5)]
    segments = data.draw(st.permutations(segments))[:4]  # one id may be of no segment
    same = data.draw(st.booleans())
    predicted = [
        PredictedSegment(k, (classes if same else other)[k - 1], 0, 1.0)
        for k in np.unique(prediction).tolist()
        if k
    ]
    metric = PanopticQuality(LABELS)
    expected = by_definition(prediction, predicted, truth, segments)
    np.testing.assert_allclose(metric.add(prediction, predicted, truth, segments), expected, rtol=1e-12)
    # Ids have no meaning: other ids, the same counts.
    table = np.array([-1, 2_000, 30, 70_000, 4, 500], np.int32)
    renamed = [PredictedSegment(int(table[s.id]), s.class_index, 0, 1.0) for s in predicted]
    again = PanopticQuality(LABELS).add(table[prediction], renamed, truth, segments)
    np.testing.assert_allclose(again, expected, rtol=1e-12)


def test_an_iou_of_one_half_is_no_match() -> None:
    truth, segments = row((1, 3), (2, 3)), [Segment(1, 2), Segment(2, 0)]
    half = row((1, 1), (0, 0), (2, 5))  # IoU 1/3 and 3/5
    assert counted(half, predictions(2, 0), truth, segments)[2] == [0, 0, 1, 1]
    assert counted(half, predictions(2, 0), truth, segments)[0] == [0.6, 1, 0, 0]
    exactly = counted(row((1, 2), (-1, 2)), predictions(2), row((1, 4)), [Segment(1, 2)])
    assert exactly[2] == [0, 0, 1, 1]


def test_predictions_in_void_and_crowds_are_not_counted() -> None:
    # Void in the truth shrinks the union; in the prediction it does not.
    assert counted(row((1, 6)), predictions(2), row((1, 2), (0, 4)), [Segment(1, 2)])[2] == [1, 1, 0, 0]
    mostly_void = row((1, 4)), predictions(2), row((7, 1), (0, 3)), [Segment(7, 0)]
    assert counted(*mostly_void) == [[0, 0, 0, 1], [0] * 4, [0] * 4, [0] * 4]
    crowd = [Segment(7, 2, crowd=True), Segment(8, 2, crowd=True)]
    first = counted(row((1, 3), (-1, 3)), predictions(2), row((7, 3), (8, 3)), crowd)
    last = counted(row((-1, 3), (1, 3)), predictions(2), row((7, 3), (8, 3)), crowd)
    assert first[2] == [0, 0, 1, 0]  # of several crowds of a class the last one counts
    assert last[2] == [0, 0, 0, 0]
    assert counted(row((-1, 3), (1, 3)), predictions(3), row((7, 3), (8, 3)), crowd)[3] == [0, 0, 1, 0]


def test_stated_areas_replace_counted_areas() -> None:
    truth, segments = row((1, 4)), [Segment(1, 2)]
    metric = PanopticQuality(LABELS)
    assert metric.add(truth, predictions(2), truth, segments, areas={1: 5})[2].tolist() == [0.8, 1, 0, 0]


def test_results_and_sums() -> None:
    truth, segments = row((1, 4), (2, 4)), [Segment(1, 2), Segment(2, 0)]
    metric, other = PanopticQuality(LABELS), PanopticQuality(LABELS)
    nothing = metric.result()
    assert nothing["all"]["n"] == 0
    assert math.isnan(nothing["things"]["pq"])
    metric.add(truth, predictions(2, 0), truth, segments)
    other.combine(metric.counts)
    other.add(row((1, 4), (-1, 4)), predictions(2), truth, segments)
    result = other.result()
    scores = {"pq": 1.0, "sq": 1.0, "rq": 1.0}
    assert result["class"]["c"] == scores | {"tp": 2, "fp": 0, "fn": 0, "iou_sum": 2.0}
    scores = {"pq": 1 / 1.5, "sq": 1.0, "rq": 1 / 1.5}
    assert result["class"]["a"] == scores | {"tp": 1, "fp": 0, "fn": 1, "iou_sum": 1.0}
    assert math.isnan(result["class"]["b"]["pq"])
    scores = {"pq": (1 + 1 / 1.5) / 2, "sq": 1.0, "rq": (1 + 1 / 1.5) / 2, "n": 2}
    assert result["all"] == scores | {"tp": 3, "fp": 0, "fn": 1, "iou_sum": 3.0}
    assert result["things"]["n"] == result["stuff"]["n"] == 1


def test_tensors_and_other_objects_are_added() -> None:
    truth, segments = row((1, 4), (2, 4)), [Segment(1, 2), Segment(2, 0)]
    metric, other = PanopticQuality(LABELS), PanopticQuality(LABELS)
    expected = metric.add(truth, predictions(2, 0), truth, segments)
    maps = torch.from_numpy(truth), torch.from_numpy(truth)
    assert (other.add(maps[0], predictions(2, 0), maps[1], segments) == expected).all()
    other.combine(metric)
    assert (other.counts == 2 * expected).all()


def test_ids_and_segments_that_do_not_fit_are_an_error() -> None:
    truth, segments = row((1, 4)), [Segment(1, 2)]
    metric = PanopticQuality(LABELS)
    for prediction, predicted, message in (
        (row((1, 2)), predictions(2), "expected equal sizes"),
        (row((1, 2), (9, 2)), predictions(2), "holds id 9"),
        (row((1, 4)), predictions(2, 2), "segment 2 has no pixel"),
        (row((1, 4)), predictions(4), "segment 1 has class 4; expected one of the 4 classes of 'four'"),
        (row((1, 4)), [*predictions(2), *predictions(2)], "segment 1 is listed twice"),
    ):
        with pytest.raises(ValueError, match=message):
            metric.add(prediction, predicted, truth, segments)
    assert not metric.counts.any()


def coco(shared: Path) -> dict[int, tuple[np.ndarray, list[Segment], dict[int, int]]]:
    folder = shared / "data" / "coco_panoptic_sample"
    if not folder.is_dir():
        pytest.skip(f"no COCO panoptic sample at {folder}")
    classes = {raw: i for i, raw in enumerate(CLASSES.raw_values)}
    images = {}
    annotations = folder / "COCOPanoptic_test_data" / "annotations"
    for source in (
        folder / "sample_data" / "panoptic_examples.json",
        annotations / "panoptic_val2017.json",
        annotations / "panoptic_train2017.json",
    ):
        for entry in json.loads(source.read_text())["annotations"]:
            path = (source.with_suffix("") / entry["file_name"]).with_suffix(".png")
            blue, green, red = np.moveaxis(cv2.imread(str(path)).astype(np.int32), 2, 0)
            rows = entry["segments_info"]
            images[entry["image_id"]] = (
                red + 256 * green + 65536 * blue,
                [Segment(s["id"], classes[s["category_id"]], bool(s["iscrowd"])) for s in rows],
                {s["id"]: s["area"] for s in rows},
            )
    return images


@pytest.mark.parametrize(
    ("shift", "figures", "hits"),
    [
        ((2, -3), (0.7102402902818965, 0.7291261949492295, 0.9067588325652841), (76, 10, 11)),
        ((8, -12), (0.3169004838499833, 0.32541542324757994, 0.46774193548387094), (25, 62, 62)),
        ((0, 0), (1.0, 1.0, 1.0), (87, 0, 0)),
    ],
)
def test_it_equals_panopticapi(
    shared: Path, shift: tuple[int, int], figures: tuple[float, ...], hits: tuple[int, ...]
) -> None:
    metric, images = PanopticQuality(CLASSES), coco(shared)
    for image in (142238, 439180, 139, 9):
        ids, segments, areas = images[image]
        metric.add(np.roll(ids, shift, (0, 1)), segments, ids, segments, areas=areas)
    result = metric.result()
    assert (result["all"]["pq"], result["all"]["sq"], result["all"]["rq"]) == figures
    assert (result["all"]["n"], result["things"]["n"], result["stuff"]["n"]) == (31, 16, 15)
    assert tuple(metric.counts.sum(0)[1:]) == hits
    if shift == (2, -3):
        assert result["things"]["pq"] == 0.5847085449384033
        assert result["stuff"]["pq"] == 0.8441408186482895
