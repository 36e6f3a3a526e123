"""Losses over the hardest pixels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from segwright.contracts import PixelOutput, Targets
from segwright.losses.mining import OHEM, TopK, _zoomed


def case(seed: int = 0, size: tuple[int, int] = (12, 10)) -> tuple[PixelOutput, Targets]:
    random = torch.Generator().manual_seed(seed)
    semantic = torch.randint(0, 3, (2, *size), generator=random)
    semantic[:, :2] = 255
    return PixelOutput(torch.randn(2, 3, *size, generator=random, requires_grad=True)), Targets(semantic)


def mean(loss, output: PixelOutput, targets: Targets) -> torch.Tensor:
    counts = loss.counts(targets)
    return sum(value / counts[name] for name, value in loss(output, targets).items())


def pixels(output: PixelOutput, targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss, and probability of the true class, of the valid pixels."""
    valid = targets.semantic != 255
    each = F.cross_entropy(output.logits, targets.semantic, ignore_index=255, reduction="none")[valid]
    return each, (-each).exp()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(0.05, 0.95), st.integers(0, 300))
def test_ohem_keeps_hard_pixels_and_at_least_the_minimum(seed: int, threshold: float, min_kept: int) -> None:
    output, targets = case(seed)
    kept = OHEM(threshold, min_kept).hard_pixels(output.logits.detach(), targets.semantic)
    each, own = pixels(output, targets)
    hard = own <= threshold
    assert not kept[targets.semantic == 255].any()
    assert int(kept.sum()) == max(int(hard.sum()), min(min_kept, len(own)))
    chosen = kept[targets.semantic != 255]
    assert chosen[hard].all()
    if chosen.any() and not chosen.all():
        assert own[chosen].max() <= own[~chosen].min()
    if chosen.any():
        torch.testing.assert_close(mean(OHEM(threshold, min_kept), output, targets), each[chosen].mean())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 1.0))
def test_top_k_is_the_mean_of_the_largest_losses(seed: int, fraction: float) -> None:
    output, targets = case(seed)
    each, _ = pixels(output, targets)
    number = max(1, int(fraction * len(each)))
    torch.testing.assert_close(
        mean(TopK(fraction), output, targets), each.sort(descending=True).values[:number].mean()
    )


def test_of_all_the_fraction_is_of_all_pixels() -> None:
    output, targets = case()
    each, _ = pixels(output, targets)
    torch.testing.assert_close(
        mean(TopK(1.0, of="all"), output, targets), each.sum() / targets.semantic.numel()
    )
    torch.testing.assert_close(mean(TopK(1.0), output, targets), each.mean())


@pytest.mark.parametrize(
    "loss", [OHEM(), OHEM(0.5, 0), OHEM(strict=True), OHEM(downsampling=4), TopK(), TopK(of="all")]
)
def test_without_valid_pixels_the_loss_is_zero_and_so_is_its_gradient(loss) -> None:
    output, _ = case()
    value = mean(loss, output, Targets(torch.full((2, 12, 10), 255)))
    value.backward()
    assert value.item() == 0
    assert output.logits.grad.abs().max() == 0


@pytest.mark.parametrize("loss", [OHEM(0.4, 30), OHEM(0.4, 30, downsampling=2), TopK(0.3)])
def test_easy_and_ignored_pixels_get_no_gradient(loss) -> None:
    output, targets = case()
    mean(loss, output, targets).backward()
    moved = output.logits.grad.abs().sum(1) > 0
    assert not moved[targets.semantic == 255].any()
    assert 0 < int(moved.sum()) < int((targets.semantic != 255).sum())


@pytest.mark.parametrize("loss", [OHEM(0.4, 30, class_weights=(1.0, 2.0, 0.5)), TopK(0.3)])
def test_gradients_are_those_of_finite_differences(loss) -> None:
    output, targets = case(size=(4, 3))
    leaf = output.logits.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mean(loss, PixelOutput(x), targets), (leaf,))


def test_ohem_weights_classes_and_divides_by_their_weights() -> None:
    output, targets = case()
    weights = (1.0, 3.0, 0.5)
    expected = F.cross_entropy(output.logits, targets.semantic, torch.tensor(weights), ignore_index=255)
    torch.testing.assert_close(mean(OHEM(1.0, 0, class_weights=weights), output, targets), expected)


def test_pixel_weights_need_targets_that_have_them() -> None:
    output, targets = case()
    with pytest.raises(ValueError, match="CenterTargets"):
        TopK(use_pixel_weights=True)(output, targets)


@pytest.mark.parametrize("size", [(33, 41), (64, 48), (9, 70)])
def test_zooming_is_that_of_scipy(size: tuple[int, int]) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    probabilities = torch.rand(2, 3, *size)
    truth = torch.randint(0, 3, (2, *size))
    zoomed, labels = _zoomed(probabilities, truth, 8)
    expected = ndimage.zoom(probabilities.numpy(), (1, 1, 1 / 8, 1 / 8), order=1)
    torch.testing.assert_close(zoomed, torch.from_numpy(expected))
    assert torch.equal(labels, torch.from_numpy(ndimage.zoom(truth.numpy(), (1, 1 / 8, 1 / 8), order=0)))
