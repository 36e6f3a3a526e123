"""The light feature pyramid on any backbone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from segwright.contracts import InputContract
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.models.backbones import ResNetConfig, TimmConfig
from segwright.models.fpn import FPNConfig, PanopticFPNConfig, _pyramid_inputs
from segwright.models.panoptic_deeplab import PanopticDeepLabConfig

LABELS = LabelSpace.of("a", "b", "c")


@pytest.mark.parametrize(
    "backbone", [TimmConfig("tf_efficientnet_lite0"), ResNetConfig(18), TimmConfig("convnext_atto")]
)
def test_logits_have_twice_the_resolution_of_the_finest_map_used(backbone: TimmConfig | ResNetConfig) -> None:
    model = FPNConfig(backbone, channels=16).build(LABELS, InputContract())
    output = model(torch.zeros(2, 3, 64, 96))
    assert output.logits.shape == (2, 3, 32, 48)
    assert [tuple(x.shape) for x in output.auxiliary] == [(2, 3, 4, 6)]
    assert model.eval()(torch.zeros(2, 3, 64, 96)).auxiliary == ()


@pytest.mark.parametrize("foreground", [False, True])
def test_the_panoptic_network_gives_classes_centers_and_offsets(foreground: bool) -> None:
    config = PanopticFPNConfig(
        TimmConfig("test_resnet"), channels=16, branch_channels=8, foreground=foreground
    )
    output = config.build(LABELS, InputContract())(torch.zeros(2, 3, 64, 96))
    assert (output.semantic.shape[1], output.center.shape[1], output.offset.shape[1]) == (3, 1, 2)
    assert output.center.shape[2:] == (32, 48)
    assert (output.foreground is not None) == foreground


def test_a_backbone_with_too_few_feature_maps_is_refused() -> None:
    with pytest.raises(UserError, match="has 3 feature maps; expected at least 4"):
        FPNConfig(TimmConfig("vit_tiny_patch16_224")).build(LABELS, InputContract())


@pytest.mark.parametrize("size", [(64, 96), (68, 98)])
def test_the_decoder_can_see_the_feature_map_at_stride_2(size: tuple[int, int]) -> None:
    config = FPNConfig(TimmConfig("test_efficientnet"), channels=8, detail=True)
    model = config.build(LABELS, InputContract(multiple=4)).eval()
    images = torch.randn(1, 3, *size)
    maps = model.backbone(images)
    assert model(images).logits.shape[2:] == (2 * maps[-4].shape[2], 2 * maps[-4].shape[3])
    assert (
        model.pyramid.lateral[0].get_submodule("0").in_channels == maps[-4].shape[1] + 4 * maps[-5].shape[1]
    )
    # One pixel of the map at stride 2 reaches the decoder without a convolution of the backbone in between.
    changed = [x.clone() for x in maps]
    changed[-5][0, :, 5, 6] += 1
    joined, before = (_pyramid_inputs(x, detail=True)[0] for x in (changed, maps))
    assert torch.nonzero((joined != before).any(1)[0]).tolist() == [[2, 3]]


def test_a_backbone_without_a_feature_map_at_stride_2_refuses_detail() -> None:
    with pytest.raises(UserError, match=r"strides 4, 8, 16, 32; set model.detail=false"):
        PanopticFPNConfig(TimmConfig("convnext_atto"), detail=True).build(LABELS, InputContract())


def test_images_can_be_enlarged_first() -> None:
    torch.manual_seed(0)
    plain = PanopticFPNConfig(TimmConfig("test_efficientnet"), channels=8, branch_channels=8)
    model, enlarging = (
        config.build(LABELS, InputContract()).eval() for config in (plain, replace(plain, input_scale=2))
    )
    enlarging.load_state_dict(model.state_dict())
    images = torch.randn(1, 3, 64, 96)
    output = enlarging(images)
    assert output.semantic.shape[2:] == output.offset.shape[2:] == (64, 96)
    large = torch.nn.functional.interpolate(images, (128, 192), mode="bilinear")
    torch.testing.assert_close(output.offset, model(large).offset)


@pytest.mark.parametrize(
    "config",
    [
        PanopticFPNConfig(TimmConfig("test_resnet"), channels=16, branch_channels=8),
        PanopticDeepLabConfig(TimmConfig("test_resnet"), skip_strides=(8, 4)),
    ],
    ids=lambda config: type(config).__name__,
)
def test_heat_map_and_offsets_are_precise_in_mixed_precision(
    config: PanopticFPNConfig | PanopticDeepLabConfig,
) -> None:
    torch.manual_seed(0)
    model = config.build(LABELS, InputContract()).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(images)
    assert (output.center.dtype, output.offset.dtype) == (torch.float32, torch.float32)
    assert output.semantic.dtype == torch.bfloat16
    # In bf16 many values occur several times, so that two neighbors on a peak are both its maximum.
    assert len(output.center.unique()) > 0.9 * output.center.numel()
