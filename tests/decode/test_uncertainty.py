from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segwright.contracts import CenterOutput, Decoder, PixelOutput, QueryOutput
from segwright.decode.binary import Threshold
from segwright.decode.default import DefaultDecoder
from segwright.decode.query import QueryDecoder
from segwright.decode.uncertainty import WithUncertainty
from segwright.labels import LabelSpace
from segwright.samples import Prediction

THREE, TWO = LabelSpace.of(*"abc", things=["c"]), LabelSpace.of("no", "yes")


def test_confidence_and_entropy_are_those_of_the_softmax_at_the_size_of_the_image() -> None:
    torch.manual_seed(0)
    logits = 3 * torch.randn(2, 3, 40, 12)
    sizes, padded = ((150, 40), (160, 48)), (160, 48)
    for prediction, image, (h, w) in zip(
        WithUncertainty()(PixelOutput(logits), sizes, padded, THREE), logits, sizes, strict=True
    ):
        full = F.interpolate(image[None], padded, mode="bilinear")[0, :, :h, :w]
        probabilities = full.softmax(0).numpy()
        assert prediction.uncertainty is not None
        np.testing.assert_allclose(prediction.uncertainty.confidence, probabilities.max(0), atol=1e-6)
        entropy = -(probabilities * np.log(probabilities)).sum(0) / np.log(3)
        np.testing.assert_allclose(prediction.uncertainty.entropy, entropy, atol=1e-5)
        assert prediction.semantic.shape == prediction.uncertainty.entropy.shape == (h, w)


def test_equal_probabilities_have_entropy_one_and_certain_ones_zero() -> None:
    logits = torch.zeros(1, 3, 1, 2)
    logits[0, 1, 0, 1] = 1e4
    (prediction,) = WithUncertainty()(PixelOutput(logits), ((1, 2),), (1, 2), THREE)
    assert prediction.uncertainty is not None
    assert prediction.uncertainty.entropy.tolist() == [[pytest.approx(1), 0]]
    assert prediction.uncertainty.confidence.tolist() == [[pytest.approx(1 / 3), 1]]
    assert prediction.uncertainty.disagreement is None


def test_a_sigmoid_head_of_one_channel_is_sure_of_absence_too() -> None:
    logits = torch.tensor([[[[0.0, 2.0, -2.0]]]])
    (prediction,) = WithUncertainty()(PixelOutput(logits), ((1, 3),), (1, 3), TWO)
    p = 1 / (1 + np.exp(-2))
    assert prediction.uncertainty is not None
    np.testing.assert_allclose(prediction.uncertainty.confidence, [[0.5, p, p]], rtol=1e-6)
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    np.testing.assert_allclose(prediction.uncertainty.entropy, [[1, entropy, entropy]], rtol=1e-5)


def test_pixels_without_a_class_have_no_confidence() -> None:
    logits = torch.full((1, 3, 1, 1), -4.0)
    (prediction,) = WithUncertainty(Threshold())(PixelOutput(logits), ((1, 1),), (1, 1), THREE)
    assert prediction.semantic.tolist() == [[255]]
    assert prediction.uncertainty is not None
    assert prediction.uncertainty.confidence.tolist() == [[0]]


def test_models_of_object_centers_use_their_class_logits() -> None:
    torch.manual_seed(0)
    output = CenterOutput(torch.randn(1, 3, 5, 5), torch.rand(1, 1, 5, 5), torch.randn(1, 2, 5, 5))
    (prediction,) = WithUncertainty()(output, ((17, 15),), (17, 17), THREE)
    full = F.interpolate(output.semantic, (17, 17), mode="bilinear", align_corners=True)[0, :, :, :15]
    assert prediction.uncertainty is not None
    assert prediction.panoptic is not None
    np.testing.assert_allclose(prediction.uncertainty.confidence, full.softmax(0).max(0).values, atol=1e-6)


class OwnDecoder:
    """A decoder of the user's own."""

    def __call__(self, *arguments: Any) -> list[Prediction]:
        return QueryDecoder("semantic")(*arguments)


@pytest.mark.parametrize("decoder", [DefaultDecoder(), OwnDecoder()])
def test_of_a_query_model_the_probabilities_are_the_class_scores_divided_by_their_sum(
    decoder: Decoder,
) -> None:
    generator = torch.Generator().manual_seed(0)
    masks, classes = (3 * torch.randn(size, generator=generator) for size in ((2, 7, 9, 9), (2, 7, 3)))
    predictions = WithUncertainty(decoder)(
        QueryOutput(masks, classes), ((33, 30), (20, 36)), (36, 36), LabelSpace.of(*"ab")
    )
    full = F.interpolate(masks, (36, 36), mode="bilinear")
    scores = torch.einsum("nqc,nqhw->nchw", classes.softmax(-1)[..., :2], full.sigmoid())
    probabilities = (scores / scores.sum(1, keepdim=True)).numpy()
    for prediction, image in zip(predictions, probabilities, strict=True):
        height, width = prediction.semantic.shape
        assert prediction.uncertainty is not None
        np.testing.assert_allclose(
            prediction.uncertainty.confidence, image.max(0)[:height, :width], atol=1e-5
        )
