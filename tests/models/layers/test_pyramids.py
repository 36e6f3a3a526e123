"""Pyramid pooling and atrous pyramids against their formulas, one switch at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.models.layers.aspp import ASPP, ASPPConfig
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.ppm import PyramidPooling
from segwright.models.pspnet import PSPNetConfig, PSPNetHead

NORM = Norm()


def features(channels: int = 8, height: int = 13, width: int = 17) -> Tensor:
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(0))


def with_statistics(module: nn.Module) -> nn.Module:
    """In evaluation mode, with running statistics that are not those of a fresh norm."""
    generator = torch.Generator().manual_seed(1)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.1)
        elif name.endswith("running_var"):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return module.eval()


def pooling(**switches: bool) -> PyramidPooling:
    torch.manual_seed(0)
    module = with_statistics(PyramidPooling(8, 4, (1, 2, 3, 6), norm=NORM, **switches))
    assert isinstance(module, PyramidPooling)
    return module


def resized(x: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=align_corners)


@pytest.mark.parametrize("align_corners", [False, True])
def test_pooled_maps_are_convolved_and_listed_with_the_features(align_corners: bool) -> None:
    module, x = pooling(align_corners=align_corners), features()
    with torch.inference_mode():
        actual = module(x)
        pools = [
            stage(F.adaptive_avg_pool2d(x, grid))
            for grid, stage in zip((1, 2, 3, 6), module.stages, strict=True)
        ]
    assert module.channels == 24
    torch.testing.assert_close(actual, [x, *pools])


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_head_enlarges_pooled_maps_after_their_convolution(align_corners: bool) -> None:
    config = PSPNetConfig(channels=4, align_corners=align_corners)
    torch.manual_seed(0)
    head, x = with_statistics(PSPNetHead(config, 8, 3)), features()
    with torch.inference_mode():
        large = [resized(each, (13, 17), align_corners) for each in head.pyramid(x)]
        torch.testing.assert_close(head([x]), head.classifier(head.bottleneck(torch.cat(large, 1))))


def test_pools_may_come_first() -> None:
    x = features()
    with torch.inference_mode():
        last, first = pooling()(x), pooling(pooled_first=True)(x)
    torch.testing.assert_close([*last[1:], last[0]], first)


def test_enlarging_first_is_another_network() -> None:
    x = features()
    module, usual = pooling(resize_before_conv=True), pooling()
    with torch.inference_mode():
        pools = [
            stage(resized(F.adaptive_avg_pool2d(x, grid), (13, 17), False))
            for grid, stage in zip((1, 2, 3, 6), module.stages, strict=True)
        ]
        torch.testing.assert_close(module(x), [x, *pools])
        large = [resized(each, (13, 17), False) for each in usual(x)]
        torch.testing.assert_close(module(x)[1], large[1])  # one value is one value
        assert not torch.allclose(module(x)[2], large[2])  # the activation stands between


def test_pyramid_pooling_of_a_map_smaller_than_its_grid() -> None:
    with torch.inference_mode():
        maps = pooling()(features(height=2, width=3))
    assert [tuple(each.shape[2:]) for each in maps] == [(2, 3), (1, 1), (2, 2), (3, 3), (6, 6)]


def atrous(config: ASPPConfig) -> ASPP:
    torch.manual_seed(0)
    module = with_statistics(ASPP(config, 8, NORM))
    assert isinstance(module, ASPP)
    return module


SMALL = ASPPConfig(rates=(2, 3, 5), channels=4, out_channels=6)


@pytest.mark.parametrize("pooled_first", [False, True])
def test_the_atrous_pyramid_is_its_branches_side_by_side(pooled_first: bool) -> None:
    module, x = atrous(replace(SMALL, pooled_first=pooled_first)), features()
    with torch.inference_mode():
        actual = module(x)
        branches = [branch(x) for branch in module.branches]
        pooled = module.pooled(F.adaptive_avg_pool2d(x, 1)).expand(-1, -1, 13, 17)
        order = [pooled, *branches] if pooled_first else [*branches, pooled]
        torch.testing.assert_close(actual, module.project(torch.cat(order, 1)))
    assert actual.shape == (2, 6, 13, 17)
    dilations = [branch[0].dilation[0] for branch in module.branches]  # type: ignore[index]
    assert dilations == [1, 2, 3, 5]


def test_the_pooled_branch_may_be_bare() -> None:
    with_norm, bare = atrous(SMALL), atrous(replace(SMALL, pooled="bare"))
    lost = with_norm.state_dict().keys() - bare.state_dict().keys()
    assert lost == {f"pooled.1.{n}" for n in
                    ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}  # fmt: skip
    x = features()
    with torch.inference_mode():
        wanted = F.relu(F.conv2d(F.adaptive_avg_pool2d(x, 1), bare.pooled[0].weight))  # type: ignore[arg-type, index]
        torch.testing.assert_close(bare.pooled(x.mean((2, 3), keepdim=True)), wanted)


def test_separable_branches_have_fewer_weights() -> None:
    dense, separable = (
        sum(p.numel() for p in atrous(replace(SMALL, separable=value)).parameters())
        for value in (False, True)
    )
    # each 3x3 of 8 to 4 channels becomes 9 per channel and 8 x 4, with one more norm over 8
    assert dense - separable == 3 * (8 * 4 * 9 - (8 * 9 + 8 * 4) - 2 * 8)


@pytest.mark.parametrize(("spatial", "kind"), [(True, nn.Dropout2d), (False, nn.Dropout)])
def test_dropout_is_of_maps_or_of_values(spatial: bool, kind: type) -> None:
    module = ASPP(replace(SMALL, spatial_dropout=spatial, dropout=0.25), 8, NORM)
    assert type(module.dropout) is kind and module.dropout.p == 0.25


def test_the_pooled_branch_trains_on_one_image() -> None:
    module = ASPP(SMALL, 8, NORM).train()
    module(features()[:1]).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)
