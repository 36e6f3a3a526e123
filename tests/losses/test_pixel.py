from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from segwright.contracts import CenterOutput, PixelOutput, Targets
from segwright.losses.combination import AuxiliaryLoss, SumOfLosses
from segwright.losses.pixel import BoundaryCrossEntropy, CrossEntropy, Dice, Focal
from segwright.losses.resolution import subsample


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
    total = CrossEntropy(weights, label_smoothing=0.1)(output, targets)["ce"]
    options = {"weight": torch.tensor(weights), "label_smoothing": 0.1}
    expected = F.cross_entropy(output.logits, targets.semantic, ignore_index=255, reduction="sum", **options)
    torch.testing.assert_close(total, expected)


def test_coarse_logits_are_upsampled_to_the_size_of_the_target() -> None:
    _, targets = case()
    coarse = PixelOutput(torch.randn(2, 3, 4, 5))
    upsampled = F.interpolate(coarse.logits, size=(8, 10), mode="bilinear", align_corners=False)
    expected = F.cross_entropy(upsampled, targets.semantic, ignore_index=255)
    torch.testing.assert_close(mean(CrossEntropy(), coarse, targets), expected)


def test_a_loss_at_output_resolution_compares_with_the_nearest_pixel_at_the_same_weight() -> None:
    _, targets = case()
    coarse = PixelOutput(torch.randn(2, 3, 4, 5))
    nearest = targets.semantic[:, 1::2, 1::2]
    total = CrossEntropy(at_output_resolution=True)(coarse, targets)["ce"]
    expected = F.cross_entropy(coarse.logits, nearest, ignore_index=255, reduction="sum") * 4
    torch.testing.assert_close(total, expected)


@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropy(),
        Dice(),
        SumOfLosses((CrossEntropy(at_output_resolution=True), Dice(0.5, at_output_resolution=True))),
    ],
)
def test_without_valid_pixels_the_loss_is_zero_and_so_is_its_gradient(loss) -> None:
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
    probabilities = output.logits.softmax(1)[:, :, 2:]
    truth = F.one_hot(targets.semantic[:, 2:], 3).permute(0, 3, 1, 2)
    both = (probabilities * truth).sum((0, 2, 3))
    coefficient = (2 * both + 1) / (probabilities.sum((0, 2, 3)) + truth.sum((0, 2, 3)) + 1)
    torch.testing.assert_close(mean(Dice(), output, targets), (1 - coefficient).mean())


def test_dice_of_millions_of_pixels_is_as_exact_as_that_of_few() -> None:
    probability, pixels = 0.97, 1024 * 2048
    logits = torch.tensor([math.log(probability / (1 - probability)), 0.0]).view(1, 2, 1, 1)
    logits = logits.expand(1, 2, 1024, 2048)
    expected = 1 - (2 * probability * pixels + 1) / (probability * pixels + pixels + 1)
    targets = Targets(torch.zeros(1, 1024, 2048, dtype=torch.int64))
    assert mean(Dice(), PixelOutput(logits), targets).item() == pytest.approx(expected, rel=1e-2)


def test_auxiliary_heads_count_by_their_weight() -> None:
    output, targets = case()
    both = PixelOutput(output.logits, (output.logits,))
    sums = CrossEntropy(auxiliary_weight=0.4)(both, targets)
    torch.testing.assert_close(sums["auxiliary"], 0.4 * sums["ce"])


def test_weights_of_classes_divide_if_asked_as_in_torch() -> None:
    output, targets = case()
    weights = (0.5, 1.0, 2.0)
    expected = F.cross_entropy(output.logits, targets.semantic, torch.tensor(weights), ignore_index=255)
    torch.testing.assert_close(
        mean(CrossEntropy(weights, normalize_by_weights=True), output, targets), expected
    )


@pytest.mark.parametrize(("stride", "size"), [(8, (24, 32)), (4, (22, 31)), (3, (9, 10))])
def test_a_subsampled_label_map_is_that_of_nearest_resizing_on_a_padded_canvas(
    stride: int, size: tuple[int, int]
) -> None:
    semantic = torch.randint(0, 9, (2, *size))
    rows, columns = (-side % stride for side in size)
    canvas = F.pad(semantic, (0, columns, 0, rows), value=255)
    small = tuple(side // stride for side in canvas.shape[1:])
    expected = F.interpolate(canvas[:, None].float(), size=small, mode="nearest-exact")[:, 0].long()
    assert torch.equal(subsample(semantic, stride), expected)
    output = PixelOutput(torch.randn(2, 9, *small))
    usual = F.cross_entropy(output.logits, expected, ignore_index=255)
    torch.testing.assert_close(mean(CrossEntropy(label_stride=stride), output, Targets(semantic)), usual)


def test_the_sum_over_refinements_and_over_scales_of_pytorch_deeplab() -> None:
    _, targets = case()
    first, second, small = torch.randn(2, 3, 8, 10), torch.randn(2, 3, 8, 10), torch.randn(2, 3, 4, 5)
    usual = [F.cross_entropy(x, targets.semantic, ignore_index=255) for x in (first, second)]
    value = mean(CrossEntropy(auxiliary_weight=1.0), PixelOutput(first, (second,)), targets)
    torch.testing.assert_close(value, sum(usual))
    nearest = targets.semantic[:, 1::2, 1::2]
    usual.append(F.cross_entropy(small, nearest, ignore_index=255))
    loss = CrossEntropy(auxiliary_weight=1.0, auxiliary_at_output_resolution=True)
    torch.testing.assert_close(mean(loss, PixelOutput(first, (second, small)), targets), sum(usual))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_equals_its_formula_and_leaves_out_ignored_pixels(gamma: float) -> None:
    output, targets = case()
    each = F.cross_entropy(output.logits, targets.semantic, ignore_index=255, reduction="none")[:, 2:]
    expected = ((1 - (-each).exp()) ** gamma * each).mean()
    torch.testing.assert_close(mean(Focal(gamma), output, targets), expected)


def test_a_detached_factor_changes_gradients_and_not_values() -> None:
    output, targets = case()
    values, gradients = [], []
    for detach in (False, True):
        value = mean(Focal(detach_factor=detach), output, targets)
        values.append(value)
        gradients.append(torch.autograd.grad(value, output.logits)[0])
    assert torch.equal(*values)
    assert not torch.allclose(*gradients)


def test_weights_fall_with_the_distance_to_the_next_border() -> None:
    truth = torch.zeros(1, 7, 20, dtype=torch.int64)
    truth[:, :, 10:] = 1
    truth[:, :, 18:] = 255
    weights = BoundaryCrossEntropy(extra_weight=4.0, sigma=2.0).weights(truth)
    expected = 1 + 4 * torch.exp(-((torch.arange(1, 6) / 2.0) ** 2) / 2)
    torch.testing.assert_close(weights[0, 3, 10:15], expected)
    torch.testing.assert_close(weights[0, 3, 5:10].flip(0), expected)
    assert weights[0, 3, 0] == 1
    assert weights[0, 3, 17] == pytest.approx(1.0, abs=0.01)  # ignored pixels make no border


def test_equal_weights_make_the_boundary_loss_plain_cross_entropy() -> None:
    output, targets = case()
    torch.testing.assert_close(
        mean(BoundaryCrossEntropy(extra_weight=0.0), output, targets), mean(CrossEntropy(), output, targets)
    )


@pytest.mark.parametrize(
    "loss", [Focal(), Focal(0.5, (1.0, 2.0, 0.5)), BoundaryCrossEntropy(), Focal(at_output_resolution=True)]
)
def test_gradients_are_right_ignored_pixels_have_none_and_nothing_is_zero(loss) -> None:
    output, targets = case((4, 5))
    leaf = output.logits.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mean(loss, PixelOutput(x), targets), (leaf,))
    mean(loss, output, targets).backward()
    assert output.logits.grad[:, :, :2].abs().max() == 0
    empty = Targets(torch.full((2, 4, 5), 255))
    counts = loss.counts(empty)
    nothing = sum(value / counts[name].clamp(min=1) for name, value in loss(output, empty).items())
    assert nothing == 0
    assert torch.autograd.grad(nothing, output.logits)[0].abs().max() == 0


def test_a_pixel_that_is_surely_right_has_a_finite_gradient() -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0]]).view(1, 3, 1, 1).requires_grad_()
    targets = Targets(torch.zeros(1, 1, 1, dtype=torch.int64))
    for gamma in (0.0, 0.5, 2.0):
        assert (
            torch.autograd.grad(mean(Focal(gamma), PixelOutput(logits), targets), logits)[0].isfinite().all()
        )


def test_an_auxiliary_loss_sums_over_the_heads() -> None:
    output, targets = case()
    both = PixelOutput(output.logits, (output.logits, output.logits))
    sums = AuxiliaryLoss(Focal(), 0.5)(both, targets)
    torch.testing.assert_close(sums["auxiliary_focal"], Focal()(output, targets)["focal"])
    assert AuxiliaryLoss(Focal())(output, targets) == {}


def test_two_terms_of_one_name_are_refused() -> None:
    output, targets = case()
    with pytest.raises(ValueError, match="two terms are named ce"):
        SumOfLosses((CrossEntropy(), CrossEntropy()))(output, targets)


def test_the_class_logits_of_a_center_output_are_used() -> None:
    output, targets = case()
    centers = CenterOutput(output.logits, torch.zeros(2, 1, 8, 10), torch.zeros(2, 2, 8, 10))
    torch.testing.assert_close(mean(CrossEntropy(), centers, targets), mean(CrossEntropy(), output, targets))
