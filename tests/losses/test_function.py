"""Any loss function as a loss of a recipe."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from segwright.contracts import PixelOutput, Targets
from segwright.losses import AuxiliaryLoss, CrossEntropy, FunctionLoss, SegmentationLoss, SumOfLosses


def case() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    target = torch.randint(0, 3, (2, 8, 12), generator=random)
    target[:, :2] = 255
    return torch.randn(2, 3, 4, 6, generator=random), target


def value_and_gradient(loss: SegmentationLoss, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    value = loss.mean(leaf, target)
    value.backward()
    return value.detach(), leaf.grad


def test_cross_entropy_of_torch_is_cross_entropy() -> None:
    logits, target = case()
    function = FunctionLoss(nn.CrossEntropyLoss(ignore_index=255))
    for one, other in zip(
        value_and_gradient(function, logits, target),
        value_and_gradient(CrossEntropy(), logits, target),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_sums_over_batches_divide_as_one_batch_would() -> None:
    logits, target = case()
    target[0, :5] = 255  # unequal numbers of valid pixels
    loss, whole = FunctionLoss(nn.CrossEntropyLoss(ignore_index=255)), Targets(target)
    parts = [(PixelOutput(logits[i : i + 1]), Targets(target[i : i + 1])) for i in range(2)]
    total = sum(loss(*part)["loss"] for part in parts) / sum(loss.counts(t)["loss"] for _, t in parts)
    torch.testing.assert_close(total, loss(PixelOutput(logits), whole)["loss"] / loss.counts(whole)["loss"])


def test_the_function_gets_float_logits_at_the_size_of_the_target_and_integer_targets() -> None:
    logits, target = case()
    calls = []

    def function(logits: Tensor, target: Tensor) -> Tensor:
        calls.append((logits.dtype, tuple(logits.shape), target.dtype, tuple(target.shape)))
        return logits.mean()

    FunctionLoss(function).mean(logits.bfloat16(), target.to(torch.uint8))
    assert calls == [(torch.float32, (2, 3, 8, 12), torch.int64, (2, 8, 12))]


def test_losses_of_other_libraries_work() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    logits, target = case()
    dice = smp.losses.DiceLoss("multiclass", ignore_index=255)
    upsampled = nn.functional.interpolate(logits, (8, 12), mode="bilinear")
    torch.testing.assert_close(FunctionLoss(dice).mean(logits, target), dice(upsampled, target))


def test_weight_and_name() -> None:
    logits, target = case()
    first, second = nn.CrossEntropyLoss(ignore_index=255), nn.CrossEntropyLoss(ignore_index=255)
    both = SumOfLosses((FunctionLoss(first), FunctionLoss(second, weight=0.5, name="half")))
    sums = both(PixelOutput(logits), Targets(target))
    torch.testing.assert_close(sums["half"], sums["loss"] / 2)
    deep = AuxiliaryLoss(FunctionLoss(first), 0.5)(PixelOutput(logits, (logits,)), Targets(target))
    torch.testing.assert_close(deep["auxiliary_loss"], sums["half"])


def test_what_is_no_mean_is_refused() -> None:
    logits, target = case()
    with pytest.raises(ValueError, match=r"'mine' returned \(2, 8, 12\); expected a scalar tensor"):
        FunctionLoss(nn.CrossEntropyLoss(ignore_index=255, reduction="none"), name="mine").mean(
            logits, target
        )
    with pytest.raises(ValueError, match="returned float; expected a scalar tensor"):
        FunctionLoss(lambda logits, target: 1.0).mean(logits, target)
