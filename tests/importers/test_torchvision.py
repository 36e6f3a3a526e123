"""torchvision's DeepLabV3 and FCN equal ours, weight for weight."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torchvision.models import segmentation

from segwright.importers import load


@pytest.mark.parametrize("auxiliary", [False, True])
@pytest.mark.parametrize("architecture", ["deeplabv3_resnet50", "fcn_resnet50"])
def test_outputs_equal_torchvision(architecture: str, auxiliary: bool) -> None:
    torch.manual_seed(0)
    make = getattr(segmentation, architecture)
    theirs: Any = make(weights=None, weights_backbone=None, num_classes=5, aux_loss=auxiliary).eval()
    for module in theirs.modules():  # running statistics of their own
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    ours = load(theirs.state_dict(), "torchvision", architecture)
    images = torch.randn(1, 3, 65, 96)
    with torch.inference_mode():
        output, wanted = ours(images), theirs(images)
        resized = torch.nn.functional.interpolate(output.logits, (65, 96), mode="bilinear")
        torch.testing.assert_close(resized, wanted["out"], rtol=1e-4, atol=1e-5)
        assert len(output.auxiliary) == auxiliary
        for scores in output.auxiliary:
            resized = torch.nn.functional.interpolate(scores, (65, 96), mode="bilinear")
            torch.testing.assert_close(resized, wanted["aux"], rtol=1e-4, atol=1e-5)


def test_prediction_can_do_without_the_auxiliary_heads() -> None:
    theirs: Any = segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=3, aux_loss=True)
    ours: Any = load(theirs.state_dict(), "torchvision", "fcn_resnet50")
    images = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        whole = ours(images)
        for head in ours.auxiliary.configs:
            head.in_evaluation = False
        assert len(whole.auxiliary) == 1
        assert ours(images).auxiliary == ()
        assert torch.equal(ours(images).logits, whole.logits)
