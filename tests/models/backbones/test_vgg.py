"""VGG against torchvision's, and its dilated form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision

from segwright.models.backbones.vgg import VGGConfig
from segwright.models.layers.norm_config import Norm


@pytest.mark.parametrize(("name", "kind"), [("vgg16", "none"), ("vgg16_bn", "batch")])
def test_maps_equal_those_of_torchvision(name: str, kind: Any) -> None:
    torch.manual_seed(0)
    ours = VGGConfig(16, norm=Norm(kind)).build(3).eval()
    with torch.device("meta"):  # the classifier's 120 million weights would take seconds
        theirs = torchvision.models.get_model(name, weights=None).features.eval()
    theirs = theirs.to_empty(device="cpu")
    theirs.load_state_dict({k.removeprefix("features."): v for k, v in ours.state_dict().items()})
    images = torch.randn(1, 3, 64, 96)
    wanted, x = [], images
    with torch.inference_mode():
        for layer in theirs:
            if isinstance(layer, torch.nn.MaxPool2d):
                wanted.append(x)
            x = layer(x.clone())
        for actual, each in zip(ours(images), wanted, strict=True):
            torch.testing.assert_close(actual, each)


@pytest.mark.parametrize("stride", [8, 16])
def test_dilation_keeps_the_size(stride: Any) -> None:
    network = VGGConfig(19, output_stride=stride).build(1)
    assert network.strides == (1, 2, 4, 8, stride)
    dilated = [m.dilation[0] for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert dilated == [1] * 12 + [16 // stride] * 4
    with torch.inference_mode():
        assert network(torch.randn(1, 1, 64, 96))[-1].shape == (1, 512, 64 // stride, 96 // stride)
