"""Object-contextual representations against their equations (Yuan et al. 2020, 1 to 4)."""

from __future__ import annotations

from typing import Any

import torch
from tests import small

from segwright.contracts import InputContract
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import upsample_concat
from segwright.models.ocr import ObjectAttention, OCRConfig


def test_attention_is_a_softmax_over_objects() -> None:
    torch.manual_seed(0)
    module = ObjectAttention(8, 4, Norm()).eval()
    pixels, objects = torch.randn(2, 8, 5, 6), torch.randn(2, 8, 3, 1)
    with torch.inference_mode():
        actual = module(pixels, objects)
        query = module.query(pixels).flatten(2).transpose(1, 2)  # [N, hw, c]
        key, value = module.key(objects).flatten(2), module.value(objects).flatten(2)
        weights = (query @ key / 2).softmax(2)  # [N, hw, classes]; 2 is the root of 4 channels
        context = (weights @ value.transpose(1, 2)).transpose(1, 2).reshape(2, 4, 5, 6)
        torch.testing.assert_close(actual, module.out(context))


def test_objects_are_means_of_pixels_weighted_by_their_region() -> None:
    torch.manual_seed(0)
    model: Any = (
        OCRConfig(ResNetConfig(18), channels=16, key_channels=8).build(small.LABELS, InputContract()).eval()
    )
    images = torch.randn(1, 3, 64, 96)
    inputs_of_attention: list[Any] = []
    model.attention.register_forward_pre_hook(lambda module, inputs: inputs_of_attention.append(inputs))
    with torch.inference_mode():
        output = model(images)
        x = upsample_concat(model.backbone(images)[-4:])
        regions, pixels = model.regions(x), model.pixels(x)
    torch.testing.assert_close(output.auxiliary[0], regions)
    weights = regions.flatten(2).softmax(2)[0]  # over all pixels, for each class
    wanted = weights @ pixels.flatten(2)[0].T
    torch.testing.assert_close(inputs_of_attention[0][1][0, :, :, 0].T, wanted)
    assert output.logits.shape == (1, 3, 16, 24)
