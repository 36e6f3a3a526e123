from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from segwright.labels import LabelSpace
from segwright.metrics.instance_iou import CategoryIoU, InstanceIoU
from segwright.samples import Prediction, Sample, Segment

LABELS = LabelSpace(
    "four",
    ("road", "path", "car", "person"),
    ((0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 3)),
    (0, 1, 2, 3),
    things=("car", "person"),
    categories=(("ground", ("road", "path")), ("moving", ("car", "person"))),
    instance_sizes=(("car", 20.0), ("person", 5.0)),
)


def scene(seed: int) -> tuple[Prediction, Sample]:
    """Boxes as instances, one crowd, void; and a prediction with wrong pixels, some of them without a class."""
    random = np.random.default_rng(seed)
    ids = np.ones((20, 30), np.int32)
    segments = [Segment(1, 0)]
    for number in range(2, 9):
        y, x = random.integers(0, 15), random.integers(0, 25)
        ids[y : y + random.integers(2, 6), x : x + random.integers(2, 6)] = number
        segments.append(Segment(number, int(random.integers(1, 4)), crowd=number == 8))
    ids[:2] = 0
    segments = [s for s in segments if (ids == s.id).any()]
    sample = Sample(np.zeros((*ids.shape, 3), np.uint8), ids, f"image_{seed:02}", tuple(segments))
    wrong = random.random(ids.shape) < 0.3
    classes = np.where(wrong, random.choice([0, 1, 2, 3, 255], ids.shape), sample.semantic())
    return Prediction(
        np.where(classes == 255, random.choice([0, 255], ids.shape), classes).astype(np.uint8)
    ), sample


def expected_iiou(
    scenes: list[tuple[Prediction, Sample]], classes: list[int], sizes: dict[int, float]
) -> float:
    """The definition, pixel by pixel. ``classes``: one class, or all of a category."""
    hits = misses = false_positives = 0.0
    for prediction, sample in scenes:
        truth, found = sample.semantic(), prediction.semantic
        false_positives += (np.isin(found, classes) & ~np.isin(truth, [*classes, 255])).sum()
        for segment in sample.segments or ():
            if segment.crowd or segment.class_index not in classes:
                continue
            mask = sample.map == segment.id
            weight = sizes[segment.class_index] / mask.sum()
            hits += weight * np.isin(found[mask], classes).sum()
            misses += weight * (~np.isin(found[mask], classes)).sum()
    return float(hits / (hits + false_positives + misses))


def add_all(metric: InstanceIoU | CategoryIoU, scenes: list[tuple[Prediction, Sample]]) -> None:
    for prediction, sample in scenes:
        metric.add(prediction, sample, LABELS)


def test_small_instances_count_as_much_as_large_ones() -> None:
    scenes = [scene(seed) for seed in range(5)]
    metric = InstanceIoU()
    add_all(metric, scenes)
    result, sizes = metric.result(), {2: 20.0, 3: 5.0}
    for name, index in (("car", 2), ("person", 3)):
        assert result["class_iiou"][name] == pytest.approx(expected_iiou(scenes, [index], sizes), abs=1e-12)
    assert result["category_iiou"]["moving"] == pytest.approx(expected_iiou(scenes, [2, 3], sizes), abs=1e-12)
    assert np.isnan([result["class_iiou"]["road"], result["category_iiou"]["ground"]]).all()
    assert result["mean_iiou"] == pytest.approx(np.mean([result["class_iiou"][n] for n in ("car", "person")]))


def test_categories_merge_their_classes() -> None:
    scenes = [scene(seed) for seed in range(5)]
    metric = CategoryIoU()
    add_all(metric, scenes)
    for name, classes in (("ground", [0, 1]), ("moving", [2, 3])):
        both = either = 0
        for prediction, sample in scenes:
            valid = sample.semantic() != 255
            masks = [np.isin(values, classes) & valid for values in (sample.semantic(), prediction.semantic)]
            both, either = both + (masks[0] & masks[1]).sum(), either + (masks[0] | masks[1]).sum()
        assert metric.result()["category_iou"][name] == both / either


def test_ground_truth_without_instances_has_no_iiou() -> None:
    metric = InstanceIoU()
    assert np.isnan(metric.result()["mean_iiou"])
    truth: NDArray[np.uint8] = np.full((4, 4), 2, np.uint8)
    metric.add(Prediction(truth), Sample(np.zeros((4, 4, 3), np.uint8), truth, "1"), LABELS)
    assert np.isnan([metric.result()["mean_iiou"], *metric.result()["class_iiou"].values()]).all()
