from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.augmentation_samples import LABELS

from segwright.contracts import PixelOutput
from segwright.decode.binary import Threshold
from segwright.errors import UserError
from segwright.labels import LabelSpace

TWO = LabelSpace("two", ("other", "road"), ((0, 0, 0), (9, 9, 9)), (0, 1))


def test_one_channel_predicts_class_one_or_class_zero() -> None:
    logits = torch.tensor([[[[-1.0, 0.5, 3.0]]]])
    (prediction,) = Threshold()(PixelOutput(logits), ((1, 3),), (1, 3), TWO)
    assert prediction.semantic.tolist() == [[0, 1, 1]]
    assert prediction.semantic.dtype == np.uint8
    (prediction,) = Threshold(0.9)(PixelOutput(logits), ((1, 3),), (1, 3), TWO)
    assert prediction.semantic.tolist() == [[0, 0, 1]]


def test_of_several_channels_the_largest_margin_counts_and_none_gives_no_class() -> None:
    logits = torch.tensor([[2.0, -3.0, -1.0], [1.0, -2.0, 0.1], [-9.0, -1.0, 0.2], [-9.0, -9.0, -9.0]])
    (prediction,) = Threshold()(PixelOutput(logits.view(1, 4, 1, 3)), ((1, 3),), (1, 3), LABELS)
    assert prediction.semantic.tolist() == [[0, 255, 2]]


def test_the_margin_is_relative_to_the_threshold_of_the_channel() -> None:
    logits = torch.tensor([0.3, -1.0, -9.0, -9.0]).view(1, 4, 1, 1)
    # Log odds of 0.3 above a probability of 0.5, and of 1.2 above a probability of 0.1.
    (prediction,) = Threshold((0.5, 0.1, 0.5, 0.5))(PixelOutput(logits), ((1, 1),), (1, 1), LABELS)
    assert prediction.binary_masks is not None
    assert prediction.binary_masks.ravel().tolist() == [True, True, False, False]
    assert prediction.semantic.tolist() == [[1]]


def test_binary_masks_are_probabilities_above_the_threshold_at_the_size_of_the_image() -> None:
    scores = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(scores, (12, 20), mode="bilinear")
    first, second = Threshold(0.3)(PixelOutput(scores), ((12, 20), (7, 9)), (12, 20), LABELS)
    assert first.semantic.shape == (12, 20)
    assert second.semantic.shape == (7, 9)
    assert first.binary_masks is not None
    assert second.binary_masks is not None
    assert (first.binary_masks == (large[0].sigmoid() > 0.3).numpy()).all()
    assert second.binary_masks.shape == (4, 7, 9)
    assert ((first.semantic == 255) == ~first.binary_masks.any(0)).all()


@pytest.mark.parametrize("threshold", [0.0, 1.0, (0.5, 0.5)])
def test_a_threshold_that_is_no_probability_is_refused(threshold: float | tuple[float, ...]) -> None:
    with pytest.raises(
        UserError, match="expected a probability between 0 and 1, or one for each of 4 channels"
    ):
        Threshold(threshold)(PixelOutput(torch.zeros(1, 4, 2, 2)), ((2, 2),), (2, 2), LABELS)
