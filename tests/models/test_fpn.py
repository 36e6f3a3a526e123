"""The light feature pyramid on any backbone."""

from __future__ import annotations

import pytest
import torch

from segwright.contracts import InputContract
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.models.backbones import ResNetConfig, TimmConfig
from segwright.models.fpn import FPNConfig, PanopticFPNConfig

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
    config = PanopticFPNConfig(ResNetConfig(18), channels=16, branch_channels=8, foreground=foreground)
    output = config.build(LABELS, InputContract())(torch.zeros(2, 3, 64, 96))
    assert (output.semantic.shape[1], output.center.shape[1], output.offset.shape[1]) == (3, 1, 2)
    assert output.center.shape[2:] == (32, 48)
    assert (output.foreground is not None) == foreground


def test_a_backbone_with_too_few_feature_maps_is_refused() -> None:
    with pytest.raises(UserError, match="has 3 feature maps; expected at least 4"):
        FPNConfig(TimmConfig("vit_tiny_patch16_224")).build(LABELS, InputContract())
