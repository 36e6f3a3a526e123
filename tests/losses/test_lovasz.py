"""Lovasz losses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segwright.contracts import PixelOutput, Targets
from segwright.losses.lovasz import LovaszHinge, LovaszSoftmax, lovasz_gradient, lovasz_hinge, lovasz_softmax


def mean(loss, output: PixelOutput, targets: Targets) -> torch.Tensor:
    counts = loss.counts(targets)
    return sum(value / counts[name] for name, value in loss(output, targets).items())


def case(channels: int = 3) -> tuple[PixelOutput, Targets]:
    random = torch.Generator().manual_seed(0)
    semantic = torch.randint(0, 2, (2, 4, 5), generator=random)
    semantic[0, :2] = 255
    return PixelOutput(torch.randn(2, channels, 4, 5, generator=random, requires_grad=True)), Targets(
        semantic
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_on_certain_predictions_it_is_one_minus_the_mean_iou(pairs: list[tuple[int, int]]) -> None:
    truth = torch.tensor([t for t, _ in pairs])
    prediction = torch.tensor([p for _, p in pairs])
    ious = [
        ((truth == k) & (prediction == k)).sum() / ((truth == k) | (prediction == k)).sum()
        for k in truth.unique().tolist()
    ]
    probabilities = torch.nn.functional.one_hot(prediction, 3).float()
    torch.testing.assert_close(lovasz_softmax(probabilities, truth), 1 - torch.stack(ious).mean())


def test_the_gradient_of_the_extension_adds_up_to_one_if_the_class_is_present() -> None:
    for truth in ([1, 0, 1, 0], [0, 0, 1], [1, 1, 1]):
        torch.testing.assert_close(lovasz_gradient(torch.tensor(truth).float()).sum(), torch.tensor(1.0))


@pytest.mark.parametrize("share", [0.0, 1e-5, 0.3, 1.0])
def test_the_gradient_of_a_million_pixels_is_that_of_double_precision(share: float) -> None:
    truth = (torch.rand(2**20, generator=torch.Generator().manual_seed(0)) < share).double()
    total = truth.sum()
    jaccard = 1 - (total - truth.cumsum(0)) / (total + (1 - truth).cumsum(0))
    differences = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
    torch.testing.assert_close(lovasz_gradient(truth.float()).double(), differences, rtol=1e-5, atol=1e-15)


def test_hinge_is_zero_where_all_pixels_are_right_by_a_margin() -> None:
    truth = torch.tensor([True, False, True])
    assert lovasz_hinge(torch.tensor([1.5, -1.5, 1.0]), truth) == 0
    assert lovasz_hinge(torch.tensor([1.5, -1.5, -1.0]), truth) > 0


@pytest.mark.parametrize(
    ("loss", "channels"),
    [
        (LovaszSoftmax(), 3), (LovaszSoftmax("all", per_image=True), 3), (LovaszSoftmax((0, 2)), 3),
        (LovaszHinge(), 1), (LovaszHinge(per_image=False), 3),
    ],
)  # fmt: skip
def test_gradients_are_right_and_ignored_pixels_have_none(loss, channels: int) -> None:
    output, targets = case(channels)
    leaf = output.logits.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mean(loss, PixelOutput(x), targets), (leaf,))
    mean(loss, output, targets).backward()
    assert output.logits.grad[0, :, :2].abs().max() == 0
    assert output.logits.grad.abs().max() > 0
    nothing = mean(loss, output, Targets(torch.full((2, 4, 5), 255)))
    assert nothing == 0
    assert torch.autograd.grad(nothing, output.logits)[0].abs().max() == 0


def test_one_channel_predicts_class_one() -> None:
    output, targets = case(1)
    both = PixelOutput(torch.cat([-output.logits, output.logits], 1))
    torch.testing.assert_close(
        mean(LovaszHinge(), output, targets), mean(LovaszHinge(), both, targets), rtol=1, atol=1
    )
    first = output.logits[0, 0, 2:].ravel(), targets.semantic[0, 2:].ravel() == 1
    second = output.logits[1, 0].ravel(), targets.semantic[1].ravel() == 1
    expected = (lovasz_hinge(*first) + lovasz_hinge(*second)) / 2
    torch.testing.assert_close(mean(LovaszHinge(), output, targets), expected)
