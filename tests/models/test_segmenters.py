"""Every network: any size, any bands, auxiliary heads when due, gradients everywhere, to disk and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import small
from torch import nn

from segwright.contracts import InputContract, PixelOutput
from segwright.models.backbones.hrnet import HRNetConfig
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.backbones.timm import TimmConfig
from segwright.models.backbones.vgg import VGGConfig
from segwright.models.ddrnet import DDRNetConfig
from segwright.models.deeplab_v2 import DeepLabV2Config
from segwright.models.deeplab_v3 import DeepLabV3Config
from segwright.models.deeplab_v3plus import DeepLabV3PlusConfig
from segwright.models.fcn import FCNConfig
from segwright.models.layers.aspp import ASPPConfig
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.segmenter import AuxiliaryHeadConfig
from segwright.models.ocr import OCRConfig
from segwright.models.pspnet import PSPNetConfig
from segwright.models.segformer import SegFormerConfig
from segwright.models.unet import PlainUNetConfig, UNetConfig
from segwright.models.upernet import UPerNetConfig
from segwright.models.weights.model_file import read_model, write_model
from segwright.models.weights.shapes_only import uninitialized

R8, R16, R32 = (ResNetConfig(18, output_stride=stride) for stride in (8, 16, 32))  # type: ignore[arg-type]
SMALL = ASPPConfig((1, 2), channels=16, out_channels=16)

CONFIGS: dict[str, tuple[Any, int]] = {  # and the stride of its scores
    "pspnet": (PSPNetConfig(R8, channels=16, align_corners=True, pooled_first=True), 8),
    "pspnet_two_heads": (
        PSPNetConfig(
            R8, channels=16, auxiliary=(AuxiliaryHeadConfig(), AuxiliaryHeadConfig(-3, hidden_ratio=0.25))
        ),
        8,
    ),
    "c1_deepsup": (FCNConfig(R16, dropout=0.0, auxiliary=(AuxiliaryHeadConfig(),)), 16),
    "c5": (FCNConfig(VGGConfig(16, output_stride=8), hidden_ratio=0.0), 8),
    "fcn_hrnet": (FCNConfig(HRNetConfig(18), merge_levels=True), 4),
    "pspnet_hrnet": (PSPNetConfig(HRNetConfig(18), merge_levels=True), 4),
    "deeplab_v2": (DeepLabV2Config(R8), 8),
    "deeplab_v2_refinement": (DeepLabV2Config(R8, refinement=True), 8),
    "deeplab_v2_scales": (DeepLabV2Config(R8, scales=(1.0, 0.75, 0.5)), 8),
    "deeplab_v3": (DeepLabV3Config(R16, SMALL, auxiliary=(AuxiliaryHeadConfig(),)), 16),
    "deeplab_v3_bare": (
        DeepLabV3Config(R32, replace(SMALL, pooled="bare", separable=True), hidden_channels=0),
        32,
    ),
    "deeplab_v3plus": (DeepLabV3PlusConfig(R16, SMALL, channels=16), 4),
    "deeplab_v3plus_dense": (DeepLabV3PlusConfig(R8, SMALL, separable=False, align_corners=True), 4),
    "upernet": (UPerNetConfig(R32, channels=16, pooled_channels=16, auxiliary=(AuxiliaryHeadConfig(),)), 4),
    "ocr": (OCRConfig(HRNetConfig(18), channels=32, key_channels=16), 4),
    "segformer": (SegFormerConfig(channels=32), 4),
    "ddrnet": (DDRNetConfig(channels=8, hidden_channels=16, context_channels=16), 8),
    "plain_unet": (PlainUNetConfig(channels=(8, 16, 16)), 1),
    "unet": (UNetConfig(TimmConfig("resnet18"), decoder_channels=(32, 16, 8)), 4),
}


def build(config: Any, bands: int = 3) -> nn.Module:
    torch.manual_seed(0)
    values = (1.0,) * bands
    model: nn.Module = config.build(small.LABELS, InputContract(mean=values, std=values, fill_value=values))
    return model


@pytest.fixture(scope="module", params=CONFIGS)
def network(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    """The name of a network and the network, for all tests of it: to build it takes longer than a test."""
    return request.param, build(CONFIGS[request.param][0])


def test_any_size_goes_through(network: tuple[str, nn.Module]) -> None:
    name, model = network
    stride = CONFIGS[name][1]
    model.eval()
    for size in ((64, 96), (65, 97), (90, 71)):
        with torch.inference_mode():
            output = model(torch.randn(2, 3, *size))
        assert isinstance(output, PixelOutput)
        assert output.logits.shape[:2] == (2, 3)
        for side, whole in zip(output.logits.shape[2:], size, strict=True):
            assert abs(side - whole / stride) <= 1
        assert torch.isfinite(output.logits).all()
        always = {"deeplab_v2_refinement": 1, "deeplab_v2_scales": 3, "ocr": 1}
        assert len(output.auxiliary) == always.get(name, 0)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("bands", [1, 4, 7])
def test_any_number_of_bands_goes_in(name: str, bands: int) -> None:
    with uninitialized():
        model = build(CONFIGS[name][0], bands).eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, bands, 64, 64)).logits.shape[1] == 3


def test_every_parameter_is_trained(network: tuple[str, nn.Module]) -> None:
    model = network[1].train()
    model.zero_grad()
    output = model(torch.randn(2, 3, 64, 64))
    total = output.logits.square().mean() + sum(a.square().mean() for a in output.auxiliary)
    total.backward()
    trained = [(n, p.grad) for n, p in model.named_parameters() if p.requires_grad]
    without = [
        n for n, g in trained if g is None or not torch.isfinite(g).all()
    ]  # of backbones: maps not used
    assert [n for n in without if not n.startswith("backbone.")] == []


def test_to_disk_and_back(network: tuple[str, nn.Module], tmp_path: Path) -> None:
    name, model = network
    config = CONFIGS[name][0]
    model.eval()
    write_model(tmp_path / "m.safetensors", model, config)
    again = read_model(tmp_path / "m.safetensors")
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(again(images).logits, model(images).logits)


def test_auxiliary_heads_run_in_training_or_always() -> None:
    due = (AuxiliaryHeadConfig(), AuxiliaryHeadConfig(in_evaluation=True))
    model = build(FCNConfig(R16, auxiliary=due))
    images = torch.randn(2, 3, 64, 64)
    assert len(model.train()(images).auxiliary) == 2
    assert len(model.eval()(images).auxiliary) == 1


def test_a_written_model_forgets_the_file_it_started_from(tmp_path: Path) -> None:
    torch.save(ResNetConfig(18).build(3).state_dict(), tmp_path / "w.pth")
    config = FCNConfig(ResNetConfig(18, str(tmp_path / "w.pth")))
    write_model(tmp_path / "m.safetensors", build(config), config)
    (tmp_path / "w.pth").unlink()
    read_model(tmp_path / "m.safetensors")
    assert config.backbone.weights is not None  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["instance", "group", "evonorm_s0", "inplace", "csail_syncbn"])
def test_any_norm_everywhere_even_on_one_image(kind: Any) -> None:
    norm = Norm(kind)
    backbone = ResNetConfig(18, output_stride=8, norm=norm)
    for config in (
        PSPNetConfig(backbone, channels=64, norm=norm, auxiliary=()),
        DeepLabV3Config(backbone, replace(SMALL, channels=64), norm=norm),
    ):
        output = build(config).train()(torch.randn(1, 3, 64, 64))
        assert torch.isfinite(output.logits).all()


def test_the_head_of_segformer_is_the_papers() -> None:
    model = build(SegFormerConfig(ResNetConfig(18), channels=8)).eval()
    maps = model.backbone(torch.randn(1, 3, 64, 64))  # type: ignore[operator]
    head: Any = model.head
    from segwright.models.layers.resize import upsample_concat

    projected = [project(x) for project, x in zip(head.project, maps[-4:], strict=True)]
    wanted = head.classifier(head.mix(upsample_concat(projected)))
    torch.testing.assert_close(head(maps), wanted, rtol=1e-4, atol=1e-5)
