from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from segwright.contracts import InputContract, Model, PixelOutput
from segwright.decode.uncertainty import WithUncertainty
from segwright.inference import (
    SINGLE_PASS,
    InferenceMode,
    SlidingWindows,
    TestTimeAugmentation,
    ensemble,
    with_disagreement,
)
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


def disagreement_of(model: Model, mode: InferenceMode, images: Tensor) -> np.ndarray:
    size = (images.shape[2], images.shape[3])
    output, padded = with_disagreement(mode)(model, images, (size,))
    (prediction,) = WithUncertainty()(output, (size,), padded, LABELS)
    assert prediction.uncertainty is not None and prediction.uncertainty.disagreement is not None
    return prediction.uncertainty.disagreement


def mutual_information(passes: Tensor, weights: Tensor) -> Tensor:
    """Of probabilities [passes, classes, H, W] and the weights of the passes [passes, 1, 1]."""
    entropies = torch.special.entr(passes).sum(1)
    mean = (passes * weights[:, None]).sum(0)
    return (torch.special.entr(mean).sum(0) - (entropies * weights).sum(0)) / np.log(len(LABELS.names))


class Mirrored(Ramp):
    def forward(self, images: Tensor) -> PixelOutput:
        return PixelOutput(super().forward(images).logits.flip(3))


@pytest.mark.parametrize("flip", [False, True])
def test_members_of_an_ensemble_disagree(flip: bool) -> None:
    models = [Ramp(LABELS, CONTRACT), Mirrored(LABELS, CONTRACT)]
    images = torch.zeros(1, 3, 8, 12, dtype=torch.uint8)
    mode = TestTimeAugmentation(flip=True) if flip else SINGLE_PASS
    disagreement = disagreement_of(ensemble(models, weights=[3, 1]), mode, images)
    passes = torch.cat([model(images.float()).logits.softmax(1) for model in models])
    weights = torch.tensor([0.5, 0.5] if flip else [0.75, 0.25]).view(2, 1, 1)
    np.testing.assert_allclose(disagreement, mutual_information(passes, weights), atol=1e-5)
    assert disagreement.max() > 0.2


def test_overlapping_windows_disagree() -> None:
    model, images = Ramp(LABELS, CONTRACT), torch.zeros(1, 3, 8, 12, dtype=torch.uint8)
    mode = SlidingWindows((8, 8), overlap=0.5, blend="uniform")
    disagreement = disagreement_of(model, mode, images)
    ramp = model(torch.zeros(1, 3, 8, 8)).logits.softmax(1)
    passes = torch.cat([ramp[..., 4:], ramp[..., :4]])
    np.testing.assert_allclose(
        disagreement[:, 4:8], mutual_information(passes, torch.full((2, 1, 1), 0.5)), atol=1e-5
    )
    np.testing.assert_allclose(disagreement[:, [0, 1, 2, 3, 8, 9, 10, 11]], 0, atol=1e-6)
