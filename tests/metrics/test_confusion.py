from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.small import Blocks

from segwright.analysis.datasets.statistics import Counts
from segwright.data.datasets.camvid import CamVid
from segwright.errors import UserError
from segwright.labels import LabelSpace, spread_colors
from segwright.metrics.arrays import count_pairs
from segwright.metrics.confusion import ConfusionMatrix
from segwright.recipes import load_recipe
from segwright.training.loading import open_training_data

FOUR = LabelSpace("four", tuple("abcd"), spread_colors(4), (0, 1, 2, 3))


def maps(with_void: bool = True) -> st.SearchStrategy[np.ndarray]:
    values = [0, 1, 2, 3, 255] if with_void else [0, 1, 2, 3]
    return arrays.arrays(np.uint8, (6, 7), elements=st.sampled_from(values))


def test_a_hand_counted_image() -> None:
    truth = np.array([[0, 0, 1], [1, 255, 2]], np.uint8)
    prediction = np.array([[0, 1, 1], [1, 0, 255]], np.uint8)
    confusion = ConfusionMatrix(FOUR)
    confusion.add(prediction, truth)
    assert confusion.counts.tolist() == [[1, 1, 0, 0, 0], [0, 2, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    result = confusion.result()
    assert result.class_iou == pytest.approx(
        {"a": 1 / 2, "b": 2 / 3, "c": 0.0, "d": float("nan")}, nan_ok=True
    )
    assert result.miou == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert result.pixel_accuracy == pytest.approx(3 / 5)
    assert result.class_accuracy == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert result.frequency_weighted_iou == pytest.approx((2 / 5) / 2 + (2 / 5) * 2 / 3)


@settings(deadline=None, max_examples=40)
@given(prediction=maps(with_void=False), truth=maps())
def test_it_equals_scikit_learn_on_valid_pixels(prediction: np.ndarray, truth: np.ndarray) -> None:
    from sklearn.metrics import confusion_matrix, jaccard_score

    confusion = ConfusionMatrix(FOUR)
    confusion.add(prediction, truth)
    known = truth != 255
    if not known.any():
        assert np.isnan(confusion.result().miou)
        return
    expected = confusion_matrix(truth[known], prediction[known], labels=range(4))
    assert (confusion.counts[:, :4] == expected).all()
    held = np.union1d(truth[known], prediction[known])
    iou = jaccard_score(truth[known], prediction[known], labels=held, average="macro")
    assert confusion.result().miou == pytest.approx(iou)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(maps(), maps()), min_size=1, max_size=5), st.randoms())
def test_neither_order_nor_grouping_of_images_matters(pairs: list, random: Random) -> None:
    straight, first, second = ConfusionMatrix(FOUR), ConfusionMatrix(FOUR), ConfusionMatrix(FOUR)
    for prediction, truth in pairs:
        straight.add(prediction, truth)
    for prediction, truth in reversed(pairs):
        (first if random.random() < 0.5 else second).add(prediction, truth)
    first.combine(second.counts)
    assert (first.counts == straight.counts).all()


@settings(deadline=None, max_examples=20)
@given(truth=maps())
def test_a_perfect_prediction_scores_one(truth: np.ndarray) -> None:
    confusion = ConfusionMatrix(FOUR)
    confusion.add(truth, truth)
    if (truth != 255).any():
        assert confusion.result().miou == confusion.result().pixel_accuracy == 1.0


def test_what_lies_outside_the_classes_is_an_error() -> None:
    wrong, right = np.full((1, 1), 4, np.uint8), np.zeros((1, 1), np.uint8)
    with pytest.raises(ValueError, match="1 pixels of the prediction lie outside the 4 classes of 'four'"):
        ConfusionMatrix(FOUR).add(wrong, right)
    with pytest.raises(ValueError, match="1 pixels of the target lie outside the 4 classes"):
        ConfusionMatrix(FOUR).add(right, wrong)
    for value in (-1, 256, 300, 70_000):  # they would wrap around in a byte
        with pytest.raises(ValueError, match="1 pixels of the prediction lie outside"):
            ConfusionMatrix(200).add(np.full((1, 1), value), right)
    with pytest.raises(ValueError, match="expected equal sizes"):
        ConfusionMatrix(FOUR).add(np.zeros((1, 2), np.uint8), np.zeros((1, 1), np.uint8))


def test_the_recorded_scores_of_rolled_camvid_labels(camvid: Path) -> None:
    """The figures that cityscapesscripts' arithmetic and scikit-learn give for the same maps."""
    data = CamVid().open(camvid, "val")
    confusion = ConfusionMatrix(data.labels)
    for index in range(len(data)):
        truth = data[index].map
        rolled = np.roll(np.where(truth == 255, 11, truth), (2, -4), axis=(0, 1))
        confusion.add(np.where(rolled == 11, 3, rolled).astype(np.uint8), truth)
    assert (confusion.counts.sum(), confusion.counts.trace()) == (17155529, 15950822)
    result = confusion.result()
    assert result.miou == pytest.approx(0.6999769123230796, abs=1e-15)
    assert result.pixel_accuracy == pytest.approx(0.9297773330102499, abs=1e-15)
    assert result.class_accuracy == pytest.approx(0.7835474377926333, abs=1e-15)
    expected = [
        0.882136,
        0.886889,
        0.048211,
        0.918189,
        0.858758,
        0.908397,
        0.532748,
        0.768378,
        0.799080,
        0.466208,
        0.630752,
    ]
    assert list(result.class_iou.values()) == pytest.approx(expected, abs=5e-7)


DTYPES = [np.uint8, np.int8, np.uint16, np.int32, np.int64]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(maps(), maps()), min_size=1, max_size=4), st.sampled_from(DTYPES[:1] + DTYPES[2:]))
def test_a_batch_of_tensors_counts_as_its_images_do(pairs: list, dtype: type) -> None:
    single, arrays_, tensors = ConfusionMatrix(FOUR), ConfusionMatrix(FOUR), ConfusionMatrix(4)
    own = [single.add(prediction, truth) for prediction, truth in pairs]
    predictions, targets = (np.stack(images).astype(dtype) for images in zip(*pairs, strict=True))
    counts = arrays_.add(predictions, targets)
    assert (counts == sum(own)).all()
    assert (tensors.add(torch.from_numpy(predictions), torch.from_numpy(targets)) == counts).all()
    for metric in (arrays_, tensors):
        assert (metric.counts == single.counts).all()
    assert repr(arrays_.result()) == repr(single.result())


def test_signed_bytes_and_booleans_are_class_indices_too() -> None:
    truth = np.array([[0, 1, 1]], np.int8)
    for prediction in (truth, truth == 1, torch.tensor([[False, True, True]])):
        metric = ConfusionMatrix(2)
        metric.add(prediction, truth)
        assert metric.result().miou == 1


def test_the_number_of_classes_is_enough() -> None:
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    target = torch.randint(0, 3, (2, 4, 5))
    target[:, 0] = 255
    metric, other = ConfusionMatrix(classes=3), ConfusionMatrix(3)
    counts = metric.add(logits.argmax(1), target)
    assert counts.sum() == (target != 255).sum()
    result = metric.result()
    assert list(result.class_iou) == ["class_0", "class_1", "class_2"]
    assert result.pixel_accuracy == pytest.approx((logits.argmax(1) == target)[:, 1:].float().mean().item())
    other.combine(metric)
    other.combine(metric.counts)
    assert (other.counts == 2 * metric.counts).all()
    with pytest.raises(ValueError, match="has 0 classes; expected 1 to 65535"):
        ConfusionMatrix(classes=0)


def test_logits_are_refused() -> None:
    target = torch.zeros(2, 4, 5, dtype=torch.int64)
    for logits in (torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 4, 5).bfloat16(), np.zeros((2, 3, 4, 5))):
        with pytest.raises(ValueError, match=r"expected integer class indices .* use logits\.argmax"):
            ConfusionMatrix(3).add(logits, target)
    with pytest.raises(ValueError, match="target is float32"):
        ConfusionMatrix(3).add(target, target.float())


def test_matrices_of_other_classes_are_not_added() -> None:
    with pytest.raises(ValueError, match="of 'unnamed' cannot be added to those of 'four'"):
        ConfusionMatrix(FOUR).combine(ConfusionMatrix(4))
    with pytest.raises(ValueError, match=r"counts have the shape \(3, 4\); expected \(4, 5\)"):
        ConfusionMatrix(FOUR).combine(np.zeros((3, 4), np.int64))


def test_classes_whose_matrix_does_not_fit_the_memory_are_refused_with_the_memory_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("segwright.metrics.arrays.available_memory", lambda: 4 * 2**30)
    message = "a confusion matrix of 65,535 classes needs 96 GiB of memory; 4 GiB are free; merge classes"
    with pytest.raises(UserError, match=message):
        ConfusionMatrix(65_535)
    with pytest.raises(UserError, match="a co-occurrence matrix of 65,535 classes needs 96 GiB"):
        Counts(65_535)
    with pytest.raises(UserError, match=message):  # further metrics count pairs of classes per image
        count_pairs(np.zeros((2, 2), np.int32), np.zeros((2, 2), np.int32), 65_535)
    assert ConfusionMatrix(1000).counts.shape == (1000, 1001)


def test_a_training_with_too_many_classes_for_its_evaluations_ends_before_it_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("segwright.metrics.arrays.available_memory", lambda: 0)
    many = LabelSpace.of(*(f"class {number}" for number in range(4_000)))
    with pytest.raises(UserError, match=r"a confusion matrix of 4,000 classes needs 0\.358 GiB"):
        open_training_data(load_recipe("own.semantic"), replace(Blocks().open(None, "train"), labels=many))
