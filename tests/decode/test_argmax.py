from __future__ import annotations

import numpy as np
import torch

from segwright.contracts import PixelOutput
from segwright.decode.argmax import Argmax
from segwright.labels import LabelSpace

LABELS = LabelSpace("four", tuple("abcd"), ((0, 0, 0),) * 4, (0, 1, 2, 3))


def test_the_highest_logit_wins_at_every_pixel() -> None:
    scores = torch.randn(2, 4, 6, 8)
    predictions = Argmax()(PixelOutput(scores), ((6, 8), (6, 8)), (6, 8), LABELS)
    for prediction, expected in zip(predictions, scores.argmax(1).numpy(), strict=True):
        assert prediction.semantic.dtype == np.uint8
        assert (prediction.semantic == expected).all()


def test_padding_is_cut_off_and_each_image_keeps_its_size() -> None:
    scores = torch.zeros(2, 2, 4, 4)
    scores[:, 1, :, 2:] = 5.0
    first, second = Argmax()(PixelOutput(scores), ((5, 8), (8, 3)), (8, 8), LABELS)
    assert first.semantic.shape == (5, 8)
    assert second.semantic.shape == (8, 3)
    assert (first.semantic[:, :3] == 0).all()
    assert (first.semantic[:, 5:] == 1).all()
    assert (second.semantic == 0).all()


def test_auxiliary_heads_have_no_influence() -> None:
    scores, auxiliary = torch.randn(1, 3, 4, 4), torch.full((1, 3, 4, 4), 1e6)
    alone = Argmax()(PixelOutput(scores), ((4, 4),), (4, 4), LABELS)[0]
    both = Argmax()(PixelOutput(scores, (auxiliary,)), ((4, 4),), (4, 4), LABELS)[0]
    assert (alone.semantic == both.semantic).all()


def test_half_precision_logits_are_compared_in_full() -> None:
    scores = torch.randn(1, 3, 4, 4).bfloat16()
    prediction = Argmax()(PixelOutput(scores), ((8, 8),), (8, 8), LABELS)[0]
    expected = torch.nn.functional.interpolate(scores.float(), size=(8, 8), mode="bilinear").argmax(1)
    assert (prediction.semantic == expected[0].numpy()).all()
