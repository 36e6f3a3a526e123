from __future__ import annotations

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from segwright.models.layers.atrous import AtrousConv2d


@settings(max_examples=50, deadline=None)
@given(rate=st.integers(1, 12), height=st.integers(1, 14), width=st.integers(1, 14), bias=st.booleans())
@example(rate=12, height=7, width=14, bias=True)
def test_taps_one_by_one_are_the_dilated_convolution(
    rate: int, height: int, width: int, *, bias: bool
) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 5, 3, padding=rate, dilation=rate, bias=bias).double()
    ours = AtrousConv2d(4, 5, rate, bias=bias).double()
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(2, 4, height, width, dtype=torch.float64, requires_grad=True)
    expected, actual = plain(x), ours(x)
    torch.testing.assert_close(actual, expected)
    weight = torch.randn_like(expected)
    wanted = torch.autograd.grad((expected * weight).sum(), [x, *plain.parameters()])
    torch.testing.assert_close(torch.autograd.grad((actual * weight).sum(), [x, *ours.parameters()]), wanted)


def test_training_multiplies_no_zeros_around_the_map() -> None:
    ours, x = AtrousConv2d(8, 8, 36), torch.randn(1, 8, 40, 40)
    with FlopCounterMode(display=False) as counter:
        ours(x)
    assert counter.get_total_flops() == 2 * 8 * 8 * (3 * 40 - 2 * 36) ** 2
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        ours(x)
    assert counter.get_total_flops() == 2 * 8 * 8 * 9 * 40 * 40
