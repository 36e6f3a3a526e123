"""DeepLab v2's three forms against their formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import small
from torch import nn
from torch.nn import functional as F

from segwright.contracts import InputContract
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.deeplab_v2 import (
    DeepLabV2Config,
    DilatedSum,
    Refinement,
    RefinementBlock,
    caffe_resnet,
)


def build(**fields: Any) -> nn.Module:
    torch.manual_seed(0)
    return (
        DeepLabV2Config(ResNetConfig(18, output_stride=8), **fields)
        .build(small.LABELS, InputContract())
        .eval()
    )


def test_the_backbone_is_caffes() -> None:
    config = caffe_resnet()
    assert (config.depth, config.stride_on, config.dilation, config.ceil_mode) == (101, "1x1", "all", True)
    network = caffe_resnet(50).build(3).eval()
    with torch.inference_mode():  # the published sizes: 321 to 41, 505 to 64
        assert network(torch.zeros(1, 3, 321, 505))[-1].shape[2:] == (41, 64)


def test_the_sum_of_dilated_classifiers() -> None:
    head = DilatedSum(4, 3, (1, 2, 5))
    x = torch.randn(2, 4, 9, 11)
    wanted = sum(
        F.conv2d(x, c.weight, c.bias, padding=rate, dilation=rate)  # type: ignore[arg-type]
        for c, rate in zip(head.classifiers, (1, 2, 5), strict=True)
    )
    output = head(x)
    torch.testing.assert_close(output.logits, wanted)
    assert output.auxiliary == ()


def test_a_refinement_block_follows_the_equations() -> None:
    block = RefinementBlock(6, 3, 2, channels=5)
    x = torch.randn(1, 6, 8, 8)
    features, scores = block(x)
    inner = F.relu(block.inner(x))
    assert torch.equal(scores, block.classifier(inner))
    refined = inner + F.relu(block.from_scores(scores))
    torch.testing.assert_close(features, x + F.relu(block.back(refined)))


def test_refinement_sums_both_scores_and_trains_what_it_uses() -> None:
    head = Refinement(6, 3, (6, 12, 18, 24))
    x = torch.randn(1, 6, 8, 8)
    output = head(x)
    better, first = head.blocks[0](x)
    _, second = head.blocks[1](better)
    assert torch.equal(output.logits, first + second)
    assert torch.equal(output.auxiliary[0], first)
    output.logits.sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name
    assert head.blocks[0].inner.dilation == (12, 12)  # type: ignore[union-attr]


@pytest.mark.parametrize("align_corners", [False, True])
def test_scales_are_fused_by_their_maximum(align_corners: bool) -> None:
    model: Any = build(scales=(1.0, 0.75, 0.5), align_corners=align_corners)
    images = torch.randn(1, 3, 65, 81)
    with torch.inference_mode():
        output = model(images)
        size = output.logits.shape[2:]
        wanted = []
        for scaled in ((65, 81), (49, 61), (33, 41)):
            resized = images
            if scaled != (65, 81):
                resized = F.interpolate(images, scaled, mode="bilinear", align_corners=align_corners)
            scores = model.head(model.backbone(resized)[-1]).logits
            if scores.shape[2:] != size:
                scores = F.interpolate(scores, size, mode="bilinear", align_corners=align_corners)
            wanted.append(scores)
    for actual, scores in zip(output.auxiliary, wanted, strict=True):
        assert torch.equal(actual, scores)
    assert torch.equal(output.logits, torch.maximum(torch.maximum(*wanted[:2]), wanted[2]))


def test_one_scale_has_no_auxiliary() -> None:
    with torch.inference_mode():
        assert build()(torch.randn(1, 3, 65, 65)).auxiliary == ()
