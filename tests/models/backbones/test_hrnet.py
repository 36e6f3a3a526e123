"""HRNet against timm's, and its exchange against the formula."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from segwright.models.backbones.hrnet import HighResolutionModule, HRNetConfig
from segwright.models.layers.norm_config import Norm


def test_maps_equal_those_of_timm() -> None:
    import timm

    torch.manual_seed(0)
    ours = HRNetConfig(18).build(3).eval()
    with torch.device("meta"):  # its own random weights would take seconds
        theirs: Any = timm.create_model("hrnet_w18").eval()
    theirs = theirs.to_empty(device="cpu")
    assert theirs.load_state_dict(ours.state_dict(), strict=False).unexpected_keys == []
    for module in theirs.modules():  # the classification network resizes by the nearest pixel
        if isinstance(module, torch.nn.Upsample):
            module.mode, module.align_corners = "bilinear", False
    images = torch.randn(1, 3, 96, 64)
    with torch.inference_mode():
        x = theirs.act1(theirs.bn1(theirs.conv1(images)))
        x = theirs.act2(theirs.bn2(theirs.conv2(x)))
        for actual, wanted in zip(ours(images), theirs.stages(x), strict=True):
            torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-5 * wanted.abs().max().item())


def test_the_exchange_adds_every_branch_to_every_other() -> None:
    torch.manual_seed(0)
    for align_corners in (False, True):
        module = HighResolutionModule((4, 8, 16), Norm(), align_corners=align_corners).eval()
        maps = [torch.randn(1, 4 * 2**i, s, s) for i, s in enumerate((17, 9, 5))]
        with torch.inference_mode():
            actual = module(list(maps))
            inner = [branch(x) for branch, x in zip(module.branches, maps, strict=True)]
            for end, result in enumerate(actual):
                total = torch.zeros_like(result)
                for start, x in enumerate(inner):
                    path: Any = module.fuse_layers[end][start]  # type: ignore[index]
                    come = path(x)
                    if come.shape[2:] != total.shape[2:]:
                        size = tuple(total.shape[2:])
                        come = F.interpolate(come, size, mode="bilinear", align_corners=align_corners)
                    total = total + come
                torch.testing.assert_close(result, F.relu(total))


@pytest.mark.parametrize("width", [18, 32, 48])
def test_widths_double(width: Any) -> None:
    with torch.device("meta"):
        network = HRNetConfig(width).build(3)
    assert network.channels == (width, 2 * width, 4 * width, 8 * width)
    if width == 48:  # the number of the original
        assert round(sum(p.numel() for p in network.parameters()) / 1e6, 3) == 65.325


def test_align_corners_reaches_the_exchange() -> None:
    torch.manual_seed(0)
    first = HRNetConfig(18, align_corners=False).build(3).eval()
    second = HRNetConfig(18, align_corners=True).build(3).eval()
    second.load_state_dict(first.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert not torch.allclose(first(images)[0], second(images)[0])
