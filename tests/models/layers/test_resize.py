from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from segwright.models.layers.conv import conv_norm
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import upsample_concat, upsample_concat_conv

WIDTHS = (24, 40, 48, 32)


def maps_of(size: tuple[int, int], smaller: list[tuple[int, int]]) -> list[Tensor]:
    torch.manual_seed(0)
    sizes = [size, *smaller]
    return [
        torch.randn(2, width, *each, dtype=torch.float64, requires_grad=True)
        for width, each in zip(WIDTHS, sizes, strict=False)
    ]


def block_of(maps: list[Tensor], kernel: int, *, bias: bool) -> nn.Sequential:
    return conv_norm(sum(m.shape[1] for m in maps), 7, kernel, norm=Norm(), bias=bias).double()


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(4, 19), st.integers(4, 19)),
    parts=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
    kernel=st.sampled_from([1, 3, 5]),
    bias=st.booleans(),
    align_corners=st.booleans(),
)
def test_maps_convolved_together_are_the_convolution_of_the_enlarged_maps(
    size: tuple[int, int], parts: list[tuple[int, int]], kernel: int, *, bias: bool, align_corners: bool
) -> None:
    maps = maps_of(size, parts)
    block = block_of(maps, kernel, bias=bias)
    expected = block(upsample_concat(maps, size, align_corners=align_corners))
    actual = upsample_concat_conv(block, maps, size, align_corners=align_corners)
    torch.testing.assert_close(actual, expected)
    weight = torch.randn_like(expected)
    wanted = torch.autograd.grad((expected * weight).sum(), [*maps, block[0].weight])
    got = torch.autograd.grad((actual * weight).sum(), [*maps, block[0].weight])
    torch.testing.assert_close(got, wanted)


def test_coarse_maps_cost_what_they_are_and_not_what_they_would_be() -> None:
    sizes = [(32, 64), (16, 32), (8, 16), (4, 8)]
    maps = [torch.randn(1, 256, *size) for size in sizes]
    block = conv_norm(4 * 256, 64, 3, norm=Norm())
    with FlopCounterMode(display=False) as plain:
        block(upsample_concat(maps))
    with FlopCounterMode(display=False) as together:
        upsample_concat_conv(block, maps, sizes[0])
    share = (1 + 1 / 4 + 1 / 16 + 1 / 64) / 4
    assert share < together.get_total_flops() / plain.get_total_flops() < share + 0.1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_sums_keep_the_precision_of_the_maps(dtype: torch.dtype) -> None:
    maps = [each.detach().to(dtype) for each in maps_of((16, 32), [(4, 8)])]
    block = block_of(maps, 3, bias=True).to(dtype)
    actual = upsample_concat_conv(block, maps, (16, 32))
    assert actual.dtype is dtype
    whole = [each.double() for each in maps]
    expected = block.double()(upsample_concat(whole, (16, 32)))
    assert (actual.double() - expected).abs().max() < 40 * torch.finfo(dtype).eps
