"""Losses of sigmoid heads."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from segwright.contracts import PixelOutput, Targets
from segwright.losses.binary import BinaryCrossEntropy, SigmoidDice


def mean(loss, output: PixelOutput, targets: Targets) -> torch.Tensor:
    counts = loss.counts(targets)
    return sum(value / counts[name] for name, value in loss(output, targets).items())


def case(channels: int) -> tuple[PixelOutput, Targets]:
    random = torch.Generator().manual_seed(0)
    semantic = torch.randint(0, 2, (2, 4, 6), generator=random)
    semantic[:, :2] = 255
    return PixelOutput(torch.randn(2, channels, 4, 6, generator=random, requires_grad=True)), Targets(
        semantic
    )


def test_one_channel_is_the_usual_binary_cross_entropy_of_class_one() -> None:
    output, targets = case(1)
    truth = (targets.semantic[:, 2:] == 1).float()
    expected = F.binary_cross_entropy_with_logits(output.logits[:, 0, 2:], truth)
    torch.testing.assert_close(mean(BinaryCrossEntropy(), output, targets), expected)


def test_several_channels_predict_one_class_each() -> None:
    output, targets = case(3)
    truth = F.one_hot(targets.semantic[:, 2:], 3).permute(0, 3, 1, 2).float()
    weights = torch.tensor([2.0, 1.0, 0.5])
    expected = F.binary_cross_entropy_with_logits(
        output.logits[:, :, 2:], truth, pos_weight=weights.view(3, 1, 1)
    )
    torch.testing.assert_close(mean(BinaryCrossEntropy((2.0, 1.0, 0.5)), output, targets), expected)


def test_dice_equals_its_formula() -> None:
    output, targets = case(1)
    probabilities, truth = output.logits[:, 0, 2:].sigmoid(), (targets.semantic[:, 2:] == 1).float()
    expected = 1 - (2 * (probabilities * truth).sum() + 1) / (probabilities.sum() + truth.sum() + 1)
    torch.testing.assert_close(mean(SigmoidDice(), output, targets), expected)


def test_auxiliary_heads_count_by_their_weight() -> None:
    output, targets = case(2)
    sums = BinaryCrossEntropy()(PixelOutput(output.logits, (output.logits,)), targets)
    torch.testing.assert_close(sums["auxiliary"], 0.4 * sums["bce"])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "loss", [BinaryCrossEntropy(), SigmoidDice(), BinaryCrossEntropy(at_output_resolution=True)]
)
def test_gradients_are_right_and_ignored_pixels_have_none(loss, channels: int) -> None:
    output, targets = case(channels)
    leaf = output.logits.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mean(loss, PixelOutput(x), targets), (leaf,))
    mean(loss, output, targets).backward()
    assert output.logits.grad[:, :, :2].abs().max() == 0
    empty = Targets(torch.full((2, 4, 6), 255))
    counts = loss.counts(empty)
    nothing = sum(value / counts[name].clamp(min=1) for name, value in loss(output, empty).items())
    assert nothing == 0
    assert torch.autograd.grad(nothing, output.logits)[0].abs().max() == 0
