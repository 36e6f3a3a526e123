from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.augmentation_samples import LABELS

from segwright.labels import LabelSpace
from segwright.metrics.binary import BinaryConfusion

TWO = LabelSpace("two", ("other", "road"), ((0, 0, 0), (9, 9, 9)), (0, 1))
TRUTH = arrays.arrays(np.uint8, (5, 6), elements=st.sampled_from([0, 1, 2, 3, 255]))
MASKS = arrays.arrays(np.bool_, (4, 5, 6))


def test_a_hand_counted_image() -> None:
    truth = np.array([[1, 1, 0, 0, 255]], np.uint8)
    binary_masks = np.array([[[True, False, True, False, True]]])
    metric = BinaryConfusion(TWO)
    assert metric.add(binary_masks, truth).tolist() == [[0, 0, 0], [1, 1, 1]]
    result = metric.result()
    assert result["class"]["road"] == {"iou": 1 / 3, "f1": 0.5, "precision": 0.5, "recall": 0.5}
    assert (result["iou"], result["f1"]) == (1 / 3, 0.5)
    assert np.isnan(result["class"]["other"]["iou"])


@settings(deadline=None, max_examples=40)
@given(binary_masks=MASKS, truth=TRUTH)
def test_every_class_equals_scikit_learn(binary_masks: np.ndarray, truth: np.ndarray) -> None:
    from sklearn.metrics import jaccard_score, precision_recall_fscore_support

    metric, known = BinaryConfusion(LABELS), truth != 255
    metric.add(binary_masks, truth)
    rows = metric.result()["class"]
    for index, name in enumerate(LABELS.names):
        real, positive = truth[known] == index, binary_masks[index][known]
        if not (real | positive).any():
            assert np.isnan(rows[name]["iou"])
            continue
        values = precision_recall_fscore_support(real, positive, average="binary", zero_division=np.nan)
        scores = [rows[name][score] for score in ("precision", "recall", "f1")]
        assert scores == pytest.approx(list(values[:3]), nan_ok=True)
        assert rows[name]["iou"] == pytest.approx(jaccard_score(real, positive))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(MASKS, TRUTH), min_size=1, max_size=4), st.randoms())
def test_neither_order_nor_grouping_of_images_matters(pairs: list, random: Random) -> None:
    straight, first, second = BinaryConfusion(LABELS), BinaryConfusion(LABELS), BinaryConfusion(LABELS)
    for pair in pairs:
        straight.add(*pair)
    for pair in reversed(pairs):
        (first if random.random() < 0.5 else second).add(*pair)
    first.combine(second.counts)
    assert (first.counts == straight.counts).all()


@pytest.mark.parametrize("shape", [(4, 5, 7), (5, 5, 6), (2, 5, 7)])
def test_maps_of_unequal_size_are_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected equal sizes and a channel for class 1 or for each class"):
        BinaryConfusion(LABELS).add(np.zeros(shape, bool), np.zeros((5, 6), np.uint8))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(MASKS, TRUTH), min_size=1, max_size=4))
def test_a_batch_of_tensors_counts_as_its_images_do(pairs: list) -> None:
    single, arrays_, tensors = BinaryConfusion(LABELS), BinaryConfusion(LABELS), BinaryConfusion(4)
    own = [single.add(*pair) for pair in pairs]
    masks, truth = (np.stack(images) for images in zip(*pairs, strict=True))
    assert (arrays_.add(masks, truth) == sum(own)).all()
    assert (tensors.add(torch.from_numpy(masks), torch.from_numpy(truth).long()) == sum(own)).all()
    single.combine(arrays_)
    assert (single.counts == 2 * tensors.counts).all()


def test_probabilities_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"binary masks are torch\.float32; expected bool; use probabilities > 0\.5"
    ):
        BinaryConfusion(2).add(torch.rand(1, 2, 2), torch.zeros(2, 2, dtype=torch.uint8))
