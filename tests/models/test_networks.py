"""What networks promise: strides, inputs of any size and band count, gradients everywhere, frozen files."""

from __future__ import annotations

import pytest
import torch
from tests import small
from torch import nn

from segwright.contracts import InputContract, PixelOutput
from segwright.models.backbones.timm import TimmConfig
from segwright.models.layers.resize import upsample
from segwright.models.small_fpn import Block, SmallFPNConfig
from segwright.models.unet import UNetConfig

CONFIGS = [
    SmallFPNConfig(channels=(8, 16, 24), depths=(1, 2, 1), stem_channels=8, decoder_channels=12),
    UNetConfig(TimmConfig("test_resnet"), decoder_channels=(32, 16, 8)),
]
IDS = ["pyramid", "unet"]


def build(config: SmallFPNConfig | UNetConfig, bands: int = 3) -> nn.Module:
    torch.manual_seed(0)
    values = (1.0,) * bands
    return config.build(small.LABELS, InputContract(mean=values, std=values, fill_value=values))


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
@pytest.mark.parametrize("size", [(64, 96), (72, 104), (65, 97), (33, 40)])
def test_any_size_goes_through(config: SmallFPNConfig | UNetConfig, size: tuple[int, int]) -> None:
    model = build(config).eval()
    with torch.inference_mode():
        output = model(torch.randn(1, 3, *size))
    assert isinstance(output, PixelOutput)
    height, width = output.logits.shape[2:]
    assert output.logits.shape[:2] == (1, 3)
    assert (height, width) >= (size[0] // 4, size[1] // 4)
    assert torch.isfinite(output.logits).all()


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_any_number_of_bands_goes_in(config: SmallFPNConfig | UNetConfig) -> None:
    model = build(config, bands=5).eval()
    with torch.inference_mode():
        assert model(torch.randn(1, 5, 64, 64)).logits.shape[1] == 3


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_every_parameter_gets_a_gradient(config: SmallFPNConfig | UNetConfig) -> None:
    model = build(config)
    for module in model.modules():
        if isinstance(module, Block):  # a fresh block is its shortcut: let its other way count, too
            nn.init.ones_(module.second[1].weight)  # type: ignore[arg-type]
    output = model(torch.randn(2, 3, 64, 64))
    total = output.logits.square().mean() + sum(a.square().mean() for a in output.auxiliary)
    total.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().any()]
    unused = [name for name in without if not name.startswith("backbone.")]  # features may leave layers out
    assert unused == []


def test_a_fresh_block_is_its_shortcut() -> None:
    block = Block(4, 4).eval()
    nn.init.zeros_(block.second[1].weight)  # type: ignore[arg-type]
    images = torch.rand(1, 4, 8, 8)
    assert torch.equal(block(images), images)


def test_the_pyramid_has_its_auxiliary_head_only_while_it_trains() -> None:
    model = build(CONFIGS[0])
    assert len(model(torch.randn(2, 3, 64, 64)).auxiliary) == 1
    assert model.eval()(torch.randn(2, 3, 64, 64)).auxiliary == ()


def test_the_pyramid_is_at_half_resolution() -> None:
    assert build(CONFIGS[0]).eval()(torch.randn(1, 3, 64, 96)).logits.shape == (1, 3, 32, 48)


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = (build(CONFIGS[0]).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_enlarging_keeps_constants_and_leaves_equal_sizes_alone() -> None:
    scores = torch.full((1, 2, 3, 4), 7.0)
    assert torch.equal(upsample(scores, (6, 8)), torch.full((1, 2, 6, 8), 7.0))
    assert upsample(scores, (3, 4)) is scores
