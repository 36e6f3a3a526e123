from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from segwright.contracts import PixelOutput, Targets
from segwright.losses.pixel import CrossEntropy, Dice, Sum


def case(size: tuple[int, int] = (8, 10)) -> tuple[PixelOutput, Targets]:
    torch.manual_seed(0)
    semantic = torch.randint(0, 3, (2, *size))
    semantic[:, :2] = 255
    return PixelOutput(torch.randn(2, 3, *size, requires_grad=True)), Targets(semantic)


def mean(loss, output: PixelOutput, targets: Targets) -> torch.Tensor:
    counts = loss.counts(targets)
    return sum(value / counts[name] for name, value in loss(output, targets).items())


def test_sum_over_count_is_the_usual_mean() -> None:
    output, targets = case()
    expected = F.cross_entropy(output.logits, targets.semantic, ignore_index=255)
    torch.testing.assert_close(mean(CrossEntropy(), output, targets), expected)


def test_class_weights_and_smoothing_are_those_of_torch() -> None:
    output, targets = case()
    weights = (0.5, 1.0, 2.0)
    found = CrossEntropy(weights, smoothing=0.1)(output, targets)["ce"]
    options = {"weight": torch.tensor(weights), "label_smoothing": 0.1}
    expected = F.cross_entropy(output.logits, targets.semantic, ignore_index=255, reduction="sum", **options)
    torch.testing.assert_close(found, expected)


def test_coarse_scores_are_enlarged_to_the_truth() -> None:
    _, targets = case()
    coarse = PixelOutput(torch.randn(2, 3, 4, 5))
    enlarged = F.interpolate(coarse.logits, size=(8, 10), mode="bilinear", align_corners=False)
    expected = F.cross_entropy(enlarged, targets.semantic, ignore_index=255)
    torch.testing.assert_close(mean(CrossEntropy(), coarse, targets), expected)


def test_a_reduced_loss_compares_with_the_nearest_pixel_at_the_same_weight() -> None:
    _, targets = case()
    coarse = PixelOutput(torch.randn(2, 3, 4, 5))
    own = targets.semantic[:, 1::2, 1::2]
    found = CrossEntropy(reduced=True)(coarse, targets)["ce"]
    expected = F.cross_entropy(coarse.logits, own, ignore_index=255, reduction="sum") * 4
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "loss", [CrossEntropy(), Dice(), Sum((CrossEntropy(reduced=True), Dice(0.5, reduced=True)))]
)
def test_without_truth_the_loss_is_zero_and_so_is_its_gradient(loss) -> None:
    output, _ = case()
    targets = Targets(torch.full((2, 8, 10), 255))
    counts = loss.counts(targets)
    total = sum(value / counts[name].clamp(min=1) for name, value in loss(output, targets).items())
    total.backward()
    assert total.item() == 0
    assert output.logits.grad.abs().max() == 0


@pytest.mark.parametrize("loss", [CrossEntropy((1.0, 2.0, 3.0)), Dice()])
def test_ignored_pixels_get_no_gradient(loss) -> None:
    output, targets = case()
    mean(loss, output, targets).backward()
    assert output.logits.grad[:, :, :2].abs().max() == 0
    assert output.logits.grad[:, :, 2:].abs().max() > 0


def test_dice_equals_its_formula() -> None:
    output, targets = case()
    shares = output.logits.softmax(1)[:, :, 2:]
    truth = F.one_hot(targets.semantic[:, 2:], 3).permute(0, 3, 1, 2)
    both = (shares * truth).sum((0, 2, 3))
    coefficient = (2 * both + 1) / (shares.sum((0, 2, 3)) + truth.sum((0, 2, 3)) + 1)
    torch.testing.assert_close(mean(Dice(), output, targets), (1 - coefficient).mean())


def test_auxiliary_heads_count_by_their_weight() -> None:
    output, targets = case()
    both = PixelOutput(output.logits, (output.logits,))
    sums = CrossEntropy(auxiliary=0.4)(both, targets)
    torch.testing.assert_close(sums["auxiliary"], 0.4 * sums["ce"])
