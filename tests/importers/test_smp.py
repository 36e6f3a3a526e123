"""segmentation_models_pytorch's DeepLabV3 equals ours, weight for weight."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from segwright.errors import UserError
from segwright.importers import load


def network(encoder: str, stride: int = 8) -> Any:
    smp = pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(0)
    theirs: Any = smp.DeepLabV3(encoder, encoder_weights=None, encoder_output_stride=stride, classes=5).eval()
    for module in theirs.modules():  # running statistics of their own
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return theirs


@pytest.mark.parametrize(("encoder", "stride"), [("resnet18", 8), ("resnet50", 16), ("resnext50_32x4d", 8)])
def test_scores_equal_those_of_smp(encoder: str, stride: int) -> None:
    theirs = network(encoder, stride)
    ours = load(theirs.state_dict(), "smp", f"deeplabv3_{encoder}", output_stride=stride)
    images = torch.randn(1, 3, 96, 160)
    with torch.inference_mode():
        wanted = theirs.segmentation_head[0](theirs.decoder(theirs.encoder(images)))  # before it is enlarged
        torch.testing.assert_close(ours(images).logits, wanted, rtol=1e-4, atol=1e-5)
        enlarged = torch.nn.functional.interpolate(
            ours(images).logits, (96, 160), mode="bilinear", align_corners=True
        )
        torch.testing.assert_close(enlarged, theirs(images), rtol=1e-4, atol=1e-5)


def test_files_of_older_versions_and_of_lightning_are_understood() -> None:
    state = network("resnet18").state_dict()
    old = {"aspp": "0", "conv": "1", "bn": "2"}
    older = {}
    for key, value in state.items():
        part, name, *rest = key.split(".")
        older[".".join(["model", part, old[name] if part == "decoder" else name, *rest])] = value
    ours = load({"state_dict": older}, "smp", "deeplabv3_resnet18")
    wanted = load(state, "smp", "deeplabv3_resnet18").state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in ours.state_dict().items())


def test_networks_that_are_not_ours_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"unknown smp architecture 'unet_resnet18'; expected one of deeplabv3_"
    ):
        load(network("resnet18").state_dict(), "smp", "unet_resnet18")
