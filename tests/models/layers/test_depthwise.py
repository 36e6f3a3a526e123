"""Depthwise convolutions with fast gradients give the results and gradients of those that they replace."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segwright.models.layers.depthwise import DepthwiseConv2d, speed_up_depthwise


def conv_of(kernel: int, stride: int, *, same: bool = False) -> nn.Conv2d:
    from timm.layers import create_conv2d

    padding = "same" if same else kernel // 2
    return create_conv2d(8, 8, kernel, stride=stride, padding=padding, depthwise=True)


def gradients(conv: nn.Conv2d, x: torch.Tensor, *, bf16: bool) -> tuple[torch.Tensor, ...]:
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        y = conv(x)
    weights = torch.linspace(-1, 1, y.numel()).view_as(y)
    (y.float() * weights).sum().backward()
    assert x.grad is not None and conv.weight.grad is not None
    return y.float(), x.grad, conv.weight.grad


@given(
    st.sampled_from([3, 5, 7]), st.sampled_from([1, 2]), st.integers(7, 20), st.integers(7, 20), st.booleans()
)
@settings(max_examples=25, deadline=None)
def test_results_and_gradients_are_those_of_the_convolution_in_fp32(
    kernel: int, stride: int, height: int, width: int, same: bool
) -> None:
    torch.manual_seed(0)
    plain = conv_of(kernel, stride, same=same)
    fast = speed_up_depthwise(copy.deepcopy(plain))
    assert isinstance(fast, DepthwiseConv2d)
    x = torch.randn(2, 8, height, width)
    for own, expected in zip(gradients(fast, x, bf16=False), gradients(plain, x, bf16=False), strict=True):
        assert torch.equal(own, expected)
    plain.weight.grad = fast.weight.grad = None
    for own, expected in zip(gradients(fast, x, bf16=True), gradients(plain, x, bf16=False), strict=True):
        assert (own - expected).norm() <= 0.01 * expected.norm()


def test_other_convolutions_stay_as_they_are() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 8, 3, groups=8, dilation=2),
        nn.Conv2d(8, 16, 3, groups=8), nn.Conv2d(8, 8, 3, groups=8, padding="same"),
        nn.Conv2d(8, 8, 3, groups=8, padding=1, padding_mode="reflect"),
    )  # fmt: skip
    speed_up_depthwise(model)
    assert {type(module) for module in model} == {nn.Conv2d}


@pytest.mark.parametrize("name", ["Conv2d", "Conv2dSame"])
def test_a_convolution_of_another_library_stays_whatever_its_name(name: str) -> None:
    """As weight standardization does, for example."""
    own = type(name, (nn.Conv2d,), {"forward": lambda self, x: 2 * nn.Conv2d.forward(self, x)})
    conv, x = own(8, 8, 3, padding=1, groups=8), torch.ones(1, 8, 5, 5)
    expected = conv(x)
    assert torch.equal(speed_up_depthwise(conv)(x), expected)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "convnext_atto"])
def test_a_network_of_timm_trains_to_the_same_gradients(name: str) -> None:
    import timm

    torch.manual_seed(0)
    plain = timm.create_model(name, features_only=True).train()
    fast = speed_up_depthwise(copy.deepcopy(plain))
    x = torch.randn(2, 3, 64, 96)
    for network in (plain, fast):
        torch.stack([maps.square().mean() for maps in network(x)]).sum().backward()
    for (key, own), expected in zip(fast.named_parameters(), plain.parameters(), strict=True):
        assert (own.grad is None) == (expected.grad is None), key
        assert own.grad is None or torch.equal(own.grad, expected.grad)
