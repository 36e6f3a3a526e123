"""Panoptic-DeepLab: its two branches at any size, and its switches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import small
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.contracts import CenterOutput, CenterTargets, InputContract, PixelOutput, Targets
from segwright.decode.panoptic import CenterDecoder
from segwright.errors import UserError
from segwright.losses.center import CenterLoss
from segwright.models.backbones.hrnet import HRNetConfig
from segwright.models.backbones.mnasnet import MNASNetConfig
from segwright.models.backbones.mobilenet_v2 import MobileNetV2Config
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.backbones.timm import TimmConfig
from segwright.models.layers.aspp import ASPP, ASPPConfig
from segwright.models.layers.decoder import AtrousDecoder, ConvStack, DecoderBranch
from segwright.models.layers.norm_config import Norm
from segwright.models.panoptic_deeplab import PanopticDeepLabConfig
from segwright.models.weights.model_file import read_model, write_model

LABELS = replace(small.LABELS, things=("red",))
SMALL = ASPPConfig((1, 2), channels=16, out_channels=16, pooled="bare")
SMALLEST = TimmConfig("test_resnet", output_stride=16)


def config(
    backbone: Any = SMALLEST, skip_strides: tuple[int, ...] = (8, 4), **fields: Any
) -> PanopticDeepLabConfig:
    skips = tuple(8 * (level + 1) for level in range(len(skip_strides)))[::-1]
    branches = {
        "semantic": DecoderBranch(SMALL, skips, 24, 16),
        "instance": DecoderBranch(SMALL, skips, 16, 8),
    }
    return PanopticDeepLabConfig(backbone, skip_strides=skip_strides, **(branches | fields))


def build(config: PanopticDeepLabConfig, bands: int = 3) -> Any:
    torch.manual_seed(0)
    values = (1.0,) * bands
    return config.build(LABELS, InputContract(mean=values, std=values, fill_value=values))


KINDS = {
    "stride_32": config(ResNetConfig(18), (16, 8, 4)),
    "stride_16": config(ResNetConfig(18, output_stride=16)),
    "stride_8": config(ResNetConfig(18, output_stride=8), (8, 4)),
    "one_map": config(TimmConfig("test_resnet"), (4,)),
    "foreground": config(foreground=True),
    "detectron2": config(
        convs=ConvStack(3, 2, separable=False),
        skip_first=True,
        align_corners=False,
        center_convs=ConvStack(3, 1),
    ),
    "hrnet": config(HRNetConfig(18), (16, 8, 4)),
    "mobilenet": config(MobileNetV2Config(), (16, 8, 4)),
    "mnasnet": config(MNASNetConfig("0_5"), (16, 8, 4)),
    "timm": config(TimmConfig("mobilenetv3_small_050"), (16, 8, 4)),
    "timm_dilated": config(),
}


@pytest.mark.parametrize("name", KINDS)
def test_any_size_goes_through(name: str) -> None:
    model = build(KINDS[name]).eval()
    for size in ((64, 96), (65, 97), (90, 71)):
        with torch.inference_mode():
            output = model(torch.randn(1, 3, *size))
        assert isinstance(output, CenterOutput)
        side = output.semantic.shape[2:]
        assert all(abs(actual - whole / 4) <= 1 for actual, whole in zip(side, size, strict=True))
        assert output.semantic.shape == (1, 3, *side)
        assert output.center.shape == (1, 1, *side)
        assert output.offset.shape == (1, 2, *side)
        assert all(torch.isfinite(each).all() for each in (output.semantic, output.center, output.offset))


@pytest.mark.parametrize("bands", [1, 5])
def test_any_number_of_bands_goes_in(bands: int) -> None:
    with torch.inference_mode():
        assert build(config(), bands).eval()(torch.randn(1, bands, 64, 64)).semantic.shape[1] == 3


@pytest.mark.parametrize("name", ["foreground", "detectron2", "one_map"])
def test_every_parameter_is_trained_even_by_one_image(name: str) -> None:
    model = build(KINDS[name]).train()
    output = model(torch.randn(1, 3, 65, 97))
    parts = [output.semantic, output.center, output.offset, output.foreground]
    torch.stack([part.square().mean() for part in parts if part is not None]).sum().backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert missing == []


def test_the_foreground_head_is_a_score_of_its_own() -> None:
    without, model = build(config()).eval(), build(config(foreground=True)).eval()
    images = torch.randn(2, 3, 65, 97)
    with torch.inference_mode():
        output = model(images)
        assert without(images).foreground is None
    assert output.foreground.shape == (2, 1, 17, 25)
    more = model.state_dict().keys() - without.state_dict().keys()
    assert more and all(key.startswith("head.instance.scores.foreground.") for key in more)


def targets(height: int, width: int) -> Targets:
    """One object in the upper half, void below."""
    semantic = torch.full((1, height, width), 255)
    semantic[:, : height // 2] = 1
    things = (semantic == 1).to(torch.uint8)
    heat = torch.zeros(1, 1, height, width)
    heat[..., height // 4, width // 2] = 1
    offset = torch.zeros(1, 2, height, width)
    return Targets(semantic, CenterTargets(heat, offset, things, things, things, things))


def test_the_foreground_head_learns_and_decides() -> None:
    model = build(config(foreground=True)).train()
    optimizer = torch.optim.Adam(model.head.instance.scores["foreground"].parameters(), lr=0.05)
    images = torch.randn(1, 3, 64, 64)
    images[:, :, :32] += 2
    truth, values = targets(64, 64), []
    for _ in range(12):
        value = CenterLoss()(model(images), truth)["foreground"] / 64**2
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.5 * values[0]
    output = model(images)
    sure = replace(output, semantic=torch.zeros(1, 3, 16, 16).index_fill(1, torch.tensor([1]), 9.0))
    (prediction,) = CenterDecoder()(sure, ((64, 64),), (64, 64), LABELS)
    assert prediction.foreground is not None
    assert prediction.foreground[:24].mean() > 0.9
    assert prediction.foreground[40:].mean() < 0.1


def test_classes_alone_are_a_pixel_output() -> None:
    alone, whole = build(config(instance=None)).eval(), build(config()).eval()
    alone.load_state_dict({key: whole.state_dict()[key] for key in alone.state_dict()})
    images = torch.randn(1, 3, 65, 97)
    with torch.inference_mode():
        output = alone(images)
        assert isinstance(output, PixelOutput)
        assert torch.equal(output.logits, whole(images).semantic)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"skip_strides": (16, 8, 4, 2, 1)},
            "skip_strides is 16, 8, 4, 2, 1; this backbone has feature maps at 2, 4, 8",
        ),
        (
            {"skip_strides": (32, 8)},
            r"skip_strides is 32, 8; this backbone has feature maps at 2, 4, 8, 16, 16",
        ),
        ({"skip_strides": (4, 8)}, "skip_strides is 4, 8; expected one or more strides, the coarsest first"),
        ({"skip_strides": ()}, "skip_strides is empty; expected one or more strides"),
        (
            {"semantic": DecoderBranch(SMALL, (8,))},
            r"skip_channels has 1 entries \(8\) for feature maps at strides 8, 4; expected one per stride",
        ),
        (
            {"instance": DecoderBranch(SMALL, (8, 8, 8))},
            r"skip_channels has 3 entries \(8, 8, 8\) for feature maps at strides 8, 4",
        ),
        (
            {"convs": ConvStack(kernel_size=4)},
            r"ConvStack\(kernel_size=4, count=1\); expected an odd kernel_size and a count of 1 or more",
        ),
        (
            {"convs": ConvStack(count=0)},
            r"ConvStack\(kernel_size=5, count=0\); expected an odd kernel_size and a count",
        ),
        (
            {"instance": None, "foreground": True},
            "foreground is predicted by the instance decoder, but instance is None",
        ),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build(config(**fields))
    assert "\n" not in str(caught.value)


def test_a_backbone_without_fine_maps_is_refused() -> None:
    with pytest.raises(UserError, match="skip_strides is 8, 4; this backbone has feature maps at 16, 16, 16"):
        build(config(TimmConfig("vit_tiny_patch16_224")))


@pytest.mark.parametrize("skip_first", [False, True])
def test_the_decoder_fuses_its_maps_from_coarse_to_fine(skip_first: bool) -> None:
    torch.manual_seed(0)
    backbone = ResNetConfig(18).build(3).eval()
    decoder = AtrousDecoder(
        DecoderBranch(SMALL, (12, 8), channels=24),
        backbone,
        (16, 4),
        Norm(),
        align_corners=False,
        skip_first=skip_first,
    ).eval()
    with torch.inference_mode():
        maps = backbone(torch.randn(1, 3, 65, 97))
        wanted = decoder.aspp(maps[4])
        for level, project, fuse in zip((3, 1), decoder.project, decoder.fuse, strict=True):
            low = project(maps[level])
            wanted = F.interpolate(wanted, low.shape[2:], mode="bilinear", align_corners=False)
            wanted = fuse(torch.cat([low, wanted] if skip_first else [wanted, low], 1))
        assert torch.equal(decoder(maps), wanted)
    assert wanted.shape == (1, 24, 17, 25)


def test_convolutions_are_separable_or_plain() -> None:
    separable, plain = (ConvStack(separable=s).build((6, 4), Norm()) for s in (True, False))
    two = ConvStack(3, 2, separable=False).build((6, 6, 4), Norm())
    assert [p.shape for p in separable.parameters() if p.ndim == 4] == [(6, 1, 5, 5), (4, 6, 1, 1)]
    assert [p.shape for p in plain.parameters() if p.ndim == 4] == [(4, 6, 5, 5)]
    assert [p.shape for p in two.parameters() if p.ndim == 4] == [(6, 6, 3, 3), (4, 6, 3, 3)]


def test_the_heat_map_may_have_convolutions_of_its_own() -> None:
    model = build(config(center_convs=ConvStack(3, 2, separable=False)))
    scores = model.head.instance.scores
    assert [p.shape for p in scores["center"].hidden.parameters() if p.ndim == 4] == [
        (16, 16, 3, 3),
        (8, 16, 3, 3),
    ]
    assert [p.shape for p in scores["offset"].hidden.parameters() if p.ndim == 4] == [
        (16, 1, 5, 5),
        (8, 16, 1, 1),
    ]


def test_without_hidden_convolutions_the_score_is_made_of_the_decoder() -> None:
    model = build(config(semantic=DecoderBranch(SMALL, (16, 8), 24, 0), instance=None)).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        maps = model.backbone(images)
        wanted = model.head.semantic.scores["semantic"].classifier(model.head.semantic.decoder(maps))
        assert torch.equal(model(images).logits, wanted)


def test_a_window_is_a_mean_around_a_place() -> None:
    torch.manual_seed(0)
    module = ASPP(replace(SMALL, pooling_window=(4, 5), pooled="bias"), 8, Norm()).eval()
    x = torch.randn(1, 8, 9, 5)
    with torch.inference_mode():
        means = F.relu(F.conv2d(F.avg_pool2d(x, (4, 5), 1), *parameters(module.pooled[0])))  # type: ignore[index]
        pooled = F.interpolate(means, (9, 5), mode="bilinear", align_corners=False)
        branches = [branch(x) for branch in module.branches]
        torch.testing.assert_close(module(x), module.project(torch.cat([*branches, pooled], 1)))
        whole = ASPP(replace(SMALL, pooled="bias"), 8, Norm()).eval()
        whole.load_state_dict(module.state_dict())
        assert torch.equal(module(x[:, :, :4]), whole(x[:, :, :4]))


def parameters(conv: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(conv, nn.Conv2d) and conv.bias is not None
    return conv.weight, conv.bias


def test_first_weights_are_hes_or_of_one_deviation() -> None:
    for std, wanted in ((0.001, (0.001, 0.001)), (None, (0.0208, 0.01))):
        head = build(config(ResNetConfig(18, output_stride=16), initial_std=std)).head
        atrous = head.semantic.decoder.aspp.branches[1][0].weight
        last = head.semantic.scores["semantic"].classifier.weight
        assert atrous.std().item() == pytest.approx(wanted[0], rel=0.05)
        assert last.std().item() == pytest.approx(wanted[1], rel=0.3)
        assert not head.instance.scores["offset"].classifier.bias.any()


@pytest.mark.parametrize("name", ["foreground", "detectron2", "one_map", "classes"])
def test_to_disk_and_back(name: str, tmp_path: Path) -> None:
    described = KINDS.get(name) or config(instance=None)
    model = build(described).eval()
    write_model(tmp_path / "m.safetensors", model, described)
    again = read_model(tmp_path / "m.safetensors")
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        first, second = model(images), again(images)
    for field in ("semantic", "center", "offset", "foreground", "logits"):
        value = getattr(first, field, None)
        assert value is None or torch.equal(value, getattr(second, field))
