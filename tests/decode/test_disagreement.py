from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from segwright.contracts import InputContract, Model, PixelOutput
from segwright.decode.uncertainty import WithUncertainty
from segwright.inference import SINGLE_PASS, TestTimeAugmentation, with_disagreement
from segwright.labels import LabelSpace

LABELS = LabelSpace.of(*"abc")
CONTRACT = InputContract(mean=(0.0,) * 3, std=(1.0,) * 3, fill_value=(0.0,) * 3, multiple=4)


class Ramp(Model):
    """Logits that depend on the column of the input, so that a flipped pass disagrees."""

    def forward(self, images: Tensor) -> PixelOutput:
        column = torch.linspace(-3, 3, images.shape[3]).expand(images.shape[0], 1, images.shape[2], -1)
        return PixelOutput(torch.cat([column, -column, images[:, :1] / 100], 1))


def test_disagreement_is_the_mutual_information_of_class_and_pass() -> None:
    model, size = Ramp(LABELS, CONTRACT), (8, 12)
    images = torch.randint(0, 255, (1, 3, *size), generator=torch.manual_seed(0), dtype=torch.uint8)
    mode = with_disagreement(TestTimeAugmentation(flip=True))
    output, padded = mode(model, images, (size,))
    (prediction,) = WithUncertainty()(output, (size,), padded, LABELS)
    assert prediction.uncertainty is not None
    first = model(images.float()).logits.softmax(1)[0]
    second = model(images.float().flip(3)).logits.softmax(1)[0].flip(2)

    def entropy(probabilities: Tensor) -> Tensor:
        return -(probabilities * probabilities.log()).sum(0)

    expected = entropy((first + second) / 2) - (entropy(first) + entropy(second)) / 2
    disagreement = prediction.uncertainty.disagreement
    np.testing.assert_allclose(disagreement, expected / np.log(3), atol=1e-5)
    assert disagreement is not None
    assert disagreement[:, 0].mean() > 0.3
    assert disagreement.max() <= 1


def test_passes_that_agree_have_no_disagreement_and_a_single_one_knows_none() -> None:
    model, size = Ramp(LABELS, CONTRACT), (8, 12)
    images = torch.zeros(1, 3, *size, dtype=torch.uint8)
    mode = with_disagreement(TestTimeAugmentation(scales=(1.0, 1.0)))
    output, padded = mode(model, images, (size,))
    (prediction,) = WithUncertainty()(output, (size,), padded, LABELS)
    assert prediction.uncertainty is not None
    assert prediction.uncertainty.disagreement == pytest.approx(np.zeros(size), abs=1e-6)
    for without in (with_disagreement(SINGLE_PASS), TestTimeAugmentation(flip=True)):
        output, padded = without(model, images, (size,))
        (prediction,) = WithUncertainty()(output, (size,), padded, LABELS)
        assert prediction.uncertainty is not None
        assert prediction.uncertainty.disagreement is None
