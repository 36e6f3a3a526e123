"""``mean``: losses in a training loop of one's own."""

from __future__ import annotations

import pytest
import torch
from tests.augmentation_samples import LABELS, panoptic

from segwright import losses
from segwright.contracts import CenterOutput, CenterTargets, Loss, PixelOutput, Targets
from segwright.data.loading.targets import PanopticTargets

PIXEL_LOSSES = [
    losses.CrossEntropy(),
    losses.CrossEntropy((1.0, 2.0, 0.5), normalize_by_weights=True),
    losses.CrossEntropy(at_output_resolution=True),
    losses.Focal(),
    losses.BoundaryCrossEntropy(),
    losses.Dice(),
    losses.OHEM(0.4, 30),
    losses.TopK(),
    losses.LovaszSoftmax(),
    losses.LovaszHinge(),
    losses.BinaryCrossEntropy(),
    losses.SigmoidDice(),
    losses.SumOfLosses((losses.CrossEntropy(), losses.Dice(0.5))),
    losses.FunctionLoss(torch.nn.CrossEntropyLoss(ignore_index=255)),
]


def case(stride: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits at a stride, and class indices with ignored pixels."""
    random = torch.Generator().manual_seed(0)
    target = torch.randint(0, 3, (2, 8, 12), generator=random)
    target[:, :2] = 255
    logits = torch.randn(2, 3, 8 // stride, 12 // stride, generator=random)
    return logits.requires_grad_(), target


@pytest.mark.parametrize("loss", PIXEL_LOSSES, ids=lambda loss: type(loss).__name__)
def test_mean_is_the_sum_over_terms_of_sum_over_count(loss: losses.SegmentationLoss) -> None:
    assert isinstance(loss, Loss)
    logits, target = case(stride=2)
    output, targets = PixelOutput(logits), Targets(target)
    counts = loss.counts(targets)
    expected = sum(value / counts[name] for name, value in loss(output, targets).items())
    value = loss.mean(logits, target)
    assert value.ndim == 0
    torch.testing.assert_close(value, expected)
    assert torch.equal(value, loss.mean(output, targets))
    value.backward()
    assert logits.grad.isfinite().all()
    assert logits.grad.any()


def test_weights_that_add_up_to_less_than_one_divide_as_in_torch() -> None:
    target = torch.full((1, 2, 2), 255)
    target[0, 0, 0] = 1
    logits = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    weights = (1.0, 0.05, 1.0)
    expected = torch.nn.functional.cross_entropy(logits, target, torch.tensor(weights), ignore_index=255)
    loss = losses.CrossEntropy(weights, normalize_by_weights=True)
    torch.testing.assert_close(loss.mean(logits, target), expected)
    assert loss.mean(logits, torch.full((1, 2, 2), 255)) == 0


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64, torch.uint16])
@pytest.mark.parametrize("loss", PIXEL_LOSSES, ids=lambda loss: type(loss).__name__)
def test_targets_may_have_any_integer_type(loss: losses.SegmentationLoss, dtype: torch.dtype) -> None:
    logits, target = case()
    expected = loss.mean(logits, target)
    assert torch.equal(loss.mean(logits, target.to(dtype)), expected)
    if dtype == torch.uint8:
        assert torch.equal(loss.mean(logits, Targets(target.to(dtype))), expected)


@pytest.mark.parametrize("loss", PIXEL_LOSSES, ids=lambda loss: type(loss).__name__)
def test_a_target_of_ignored_pixels_gives_zero_and_no_gradient(loss: losses.SegmentationLoss) -> None:
    logits, target = case()
    value = loss.mean(logits, torch.full_like(target, 255, dtype=torch.uint8))
    value.backward()
    assert value == 0
    assert not logits.grad.any()


def test_half_precision_logits_are_compared_in_full() -> None:
    logits, target = case()
    half = logits.detach().bfloat16()
    assert torch.equal(
        losses.CrossEntropy().mean(half, target), losses.CrossEntropy().mean(half.float(), target)
    )


def test_auxiliary_heads_count_if_the_output_has_them() -> None:
    logits, target = case()
    main = losses.CrossEntropy().mean(logits, target)
    output = PixelOutput(logits, (logits, logits))
    torch.testing.assert_close(losses.CrossEntropy(auxiliary_weight=0.5).mean(output, target), 2 * main)
    deep = losses.AuxiliaryLoss(losses.CrossEntropy(), weight=0.25)
    torch.testing.assert_close(deep.mean(output, target), main / 2)
    nothing = deep.mean(logits, target)
    nothing.backward()
    assert nothing == 0


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        (torch.zeros(3, 4, 4), torch.zeros(1, 4, 4).long(), "logits are torch.float32 .* \\[N, C, h, w\\]"),
        (torch.zeros(1, 3, 4, 4).long(), torch.zeros(1, 4, 4).long(), "logits are torch.int64"),
        (torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4), "target is torch.float32 .*; expected integer class indices"),
        (torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4).long(), "expected integer class indices \\[N, H, W\\]"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(1, 4, 4).long(), "target has 1 images, logits have 2"),
    ],
)  # fmt: skip
def test_wrong_shapes_and_types_are_one_clear_line(
    logits: torch.Tensor, target: torch.Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        losses.CrossEntropy().mean(logits, target)


def test_a_center_loss_takes_a_center_output_and_says_so() -> None:
    targets = PanopticTargets()([panoptic(33, 49, 0)], (33, 49), LABELS)
    output = CenterOutput(torch.randn(1, 4, 9, 13), torch.rand(1, 1, 9, 13), torch.randn(1, 2, 9, 13))
    loss = losses.CenterLoss()
    moved = targets.to(torch.device("cpu"))
    counts = loss.counts(moved)
    expected = sum(value / counts[name] for name, value in loss(output, moved).items())
    torch.testing.assert_close(loss.mean(output, targets), expected)
    assert isinstance(targets.centers, CenterTargets)
    for logits, target in ((output.semantic, targets), (output, targets.semantic)):
        with pytest.raises(ValueError, match="expected a CenterOutput and Targets with centers"):
            loss.mean(logits, target)
    with pytest.raises(ValueError, match="set targets to PanopticTargets"):
        loss.mean(output, Targets(targets.semantic))
