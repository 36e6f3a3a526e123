"""What holds for every metric of ``Recipe.metrics``, whatever it counts."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segwright.labels import LabelSpace
from segwright.metrics.by_name import metric_classes
from segwright.metrics.metric import Metric
from segwright.samples import Prediction, Sample, Segment, UncertaintyMaps

LABELS = LabelSpace(
    "four",
    ("road", "path", "car", "person"),
    ((0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 3)),
    (0, 1, 2, 3),
    things=("car", "person"),
    categories=(("ground", ("road", "path")), ("moving", ("car", "person"))),
)
METRICS = pytest.mark.parametrize("kind", metric_classes().values(), ids=lambda kind: kind.__name__)


def image(seed: int, *, perfect: bool = False, void: bool = False) -> tuple[Prediction, Sample]:
    random = np.random.default_rng(seed)
    height, width = random.integers(12, 20, 2)
    ids = np.full((height, width), 1, np.int32)
    segments = [
        Segment(1, 0),
        Segment(2, 1),
        Segment(3, 2),
        Segment(4, 2),
        Segment(5, 3),
        Segment(6, 3, True),
    ]
    for number in range(2, 7):
        y, x = random.integers(0, 10, 2)
        ids[y : y + 5, x : x + 6] = number
    ids[-2:] = 0
    if void:
        ids[:] = 0
    kept = tuple(segment for segment in segments if (ids == segment.id).any())
    sample = Sample(np.zeros((height, width, 3), np.uint8), ids, f"{seed:04}", kept)
    classes = (
        sample.semantic() if perfect else random.choice([0, 1, 2, 3, 255], (height, width)).astype(np.uint8)
    )
    confidence = np.where(perfect, 1.0, random.random((height, width))).astype(np.float32)
    return Prediction(classes, uncertainty=UncertaintyMaps(confidence, 1 - confidence)), sample


def counted(kind: type, images: list[tuple[Prediction, Sample]], labels: LabelSpace = LABELS) -> Metric:
    metric: Metric = kind()
    for prediction, sample in images:
        metric.add(prediction, sample, labels)
    return metric


def close(value: Any, expected: Any) -> None:
    """Equal up to the rounding of sums of floats, NaN where NaN is expected."""
    if isinstance(expected, dict):
        assert value.keys() == expected.keys()
        for name in expected:
            close(value[name], expected[name])
    else:
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-12)


def headlines(metric: Metric) -> dict[str, float]:
    return {name: value for name, value in metric.result().items() if isinstance(value, float)}


@METRICS
@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 99), min_size=2, max_size=5, unique=True), st.randoms())
def test_the_order_of_images_and_shards_have_no_effect(kind: type, seeds: list[int], random: Any) -> None:
    images = [image(seed) for seed in seeds]
    expected = counted(kind, images).result()
    shuffled = images.copy()
    random.shuffle(shuffled)
    close(counted(kind, shuffled).result(), expected)
    first, second = counted(kind, images[1::2]), pickle.loads(pickle.dumps(counted(kind, images[::2])))
    first.combine(second)
    close(first.result(), expected)
    empty: Metric = kind()
    empty.combine(first)
    empty.combine(kind())
    close(empty.result(), expected)


@METRICS
def test_other_class_indices_give_the_same_scores(kind: type) -> None:
    order = [2, 0, 3, 1]  # the old class index of each new class
    labels = replace(LABELS, names=tuple(LABELS.names[i] for i in order))
    new = np.append(np.argsort(order), np.full(252, 255)).astype(np.uint8)
    images = [image(seed) for seed in range(4)]
    renumbered = [
        (
            replace(prediction, semantic=new[prediction.semantic]),
            replace(
                sample,
                segments=tuple(
                    replace(s, class_index=int(new[s.class_index])) for s in sample.segments or ()
                ),
            ),
        )
        for prediction, sample in images
    ]
    expected, result = counted(kind, images), counted(kind, renumbered, labels)
    close(headlines(result), headlines(expected))


@METRICS
def test_a_perfect_prediction_has_perfect_scores(kind: type) -> None:
    values = headlines(counted(kind, [image(seed, perfect=True) for seed in range(4)]))
    assert values
    for name, value in values.items():
        assert value == pytest.approx(0 if "error" in name else 1, abs=1e-12), name


@METRICS
def test_images_without_ground_truth_count_nothing(kind: type) -> None:
    images = [image(seed) for seed in range(3)]
    empty = kind()
    before = {name for name, value in empty.result().items() if isinstance(value, float)}
    assert all(np.isnan(value) for value in headlines(empty).values())
    void = counted(kind, [image(7, void=True)])
    assert all(np.isnan(value) for value in headlines(void).values())
    assert set(headlines(void)) == before  # names are known before the first image
    close(counted(kind, [*images, image(7, void=True)]).result(), counted(kind, images).result())


@METRICS
def test_counting_changes_neither_settings_nor_inputs(kind: type) -> None:
    prediction, sample = image(3)
    before = copy.deepcopy((prediction, sample))
    counted(kind, [(prediction, sample)])
    np.testing.assert_equal(prediction.semantic, before[0].semantic)
    np.testing.assert_equal(sample.map, before[1].map)
