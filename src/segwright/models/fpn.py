"""A light feature pyramid network on any backbone: the default for your own images, with pretrained weights.

The decoder sums the backbone's feature maps from stride 32 to 4 (Lin et al. 2017). A sub-pixel head (Shi et al. 2016)
then doubles the resolution. With ``detail``, the feature map at stride 2 joins that at stride 4, as four times as many
channels: thin objects and exact borders then cost no convolution at stride 2. ``FPNConfig`` is for semantic,
``PanopticFPNConfig`` for panoptic and instance segmentation, with the heads of Panoptic-DeepLab (Cheng et al., CVPR
2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.contracts import CenterOutput, InputContract, Model, PixelOutput
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.models.backbones.timm import TimmConfig
from segwright.models.layers.depthwise import pad_same
from segwright.models.layers.feature_pyramid import (
    FeaturePyramid,
    center_branch,
    center_heads,
    center_output,
    initialize_classifier,
    initialize_convolution,
    sub_pixel_head,
)
from segwright.models.layers.features import Backbone, Features


@dataclass(slots=True)
class FPNConfig:
    """A light feature pyramid with a sub-pixel head, on any backbone.

    ``channels``: channels of the decoder. ``upsample_factor``: upsampling factor of the head; the stride of the logits
    is 4 divided by it.

    ``detail``: the decoder also sees the backbone's feature map at stride 2. ``input_scale``: images are enlarged by
    this factor first, for objects of few pixels; the strides of all outputs are divided by it. In training there is
    also an auxiliary head at stride 16.
    """

    backbone: Backbone = field(default_factory=lambda: TimmConfig("tf_efficientnet_lite0"))
    channels: int = 64
    upsample_factor: int = 2
    detail: bool = False
    input_scale: int = 1

    def build(self, labels: LabelSpace, input: InputContract) -> FPN:
        """The network."""
        return FPN(self, labels, input)


@dataclass(slots=True)
class PanopticFPNConfig:
    """A light feature pyramid with heads for classes, object centers and offsets, on any backbone.

    ``channels``: channels of the decoder. ``branch_channels``: channels of the two convolutions before heat map and
    offsets.

    ``foreground``: one more logit per pixel, positive on things, negative on stuff and void. ``offset_scale``: the
    head's offsets are multiplied by it to give pixels of the output, so that the head learns numbers near 1.
    ``upsample_factor``: upsampling factor of the heads; the stride of the output is 4 divided by it. ``detail``: the
    decoder also sees the backbone's feature map at stride 2. ``input_scale``: images are enlarged by this factor first,
    for objects of few pixels; the strides of all outputs are divided by it.
    """

    backbone: Backbone = field(default_factory=lambda: TimmConfig("tf_efficientnet_lite0"))
    channels: int = 64
    branch_channels: int = 64
    upsample_factor: int = 2
    foreground: bool = False
    offset_scale: float = 16.0
    detail: bool = False
    input_scale: int = 1

    def build(self, labels: LabelSpace, input: InputContract) -> PanopticFPN:
        """The network."""
        return PanopticFPN(self, labels, input)


class FPN(Model):
    """The network for semantic segmentation."""

    def __init__(self, config: FPNConfig, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(labels, input)
        self.detail, self.input_scale = config.detail, config.input_scale
        self.backbone, self.pyramid = _trunk(config, input)
        self.head = sub_pixel_head(config.channels, len(labels), config.upsample_factor)
        self.auxiliary = nn.Conv2d(config.channels, len(labels), 1)
        for classifier in (self.head[0], self.auxiliary):
            initialize_classifier(classifier)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> PixelOutput:
        """Logits for normalized images."""
        features = self.backbone(_enlarged(images, self.input_scale))
        maps = self.pyramid(_pyramid_inputs(features, detail=self.detail))
        return PixelOutput(self.head(maps[-1]), (self.auxiliary(maps[0]),) if self.training else ())


class PanopticFPN(Model):
    """The network for panoptic and instance segmentation."""

    def __init__(self, config: PanopticFPNConfig, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(labels, input)
        self.offset_scale = config.offset_scale
        self.detail, self.input_scale = config.detail, config.input_scale
        self.backbone, self.pyramid = _trunk(config, input)
        self.branch = center_branch(config.channels, config.branch_channels)
        self.branch.apply(initialize_convolution)
        self.heads = center_heads(
            config.channels,
            config.branch_channels,
            len(labels),
            config.upsample_factor,
            foreground=config.foreground,
        )
        for head in self.heads.values():
            assert isinstance(head, nn.Sequential)
            initialize_classifier(head[0])

    def forward(self, images: Float[Tensor, "images channels height width"]) -> CenterOutput:
        """Class logits, centers and offsets for normalized images."""
        maps = self.backbone(_enlarged(images, self.input_scale))
        features = self.pyramid(_pyramid_inputs(maps, detail=self.detail))[-1]
        return center_output(features, self.branch, self.heads, self.offset_scale)


def _trunk(config: FPNConfig | PanopticFPNConfig, input: InputContract) -> tuple[Features, FeaturePyramid]:
    """Backbone and decoder; ``UserError`` for a backbone that lacks a feature map."""
    backbone = config.backbone.build(len(input.mean))
    if len(backbone.channels) < 4:
        raise UserError(
            f"the backbone has {len(backbone.channels)} feature maps; expected at least 4, with strides 4 to 32"
        )
    channels = list(backbone.channels[-4:])
    if config.detail:
        if backbone.strides[-5:-4] != (2,):
            raise UserError(
                f"model.detail needs a feature map at stride 2, but the backbone has the strides "
                f"{', '.join(map(str, backbone.strides))}; set model.detail=false"
            )
        channels[0] += 4 * backbone.channels[-5]
    pyramid = FeaturePyramid(channels, config.channels)
    pyramid.apply(initialize_convolution)
    return backbone, pyramid


def _enlarged(images: Tensor, factor: int) -> Tensor:
    """The images, enlarged bilinearly by a whole number."""
    if factor == 1:
        return images
    return F.interpolate(images, scale_factor=float(factor), mode="bilinear", align_corners=False)


def _pyramid_inputs(maps: Sequence[Tensor], *, detail: bool) -> list[Tensor]:
    """The feature maps at strides 4 to 32; with ``detail`` the finest one contains that at stride 2 as channels."""
    if not detail:
        return list(maps[-4:])
    fine = pad_same(maps[-5], (2, 2), (2, 2))
    return [torch.cat([maps[-4], F.pixel_unshuffle(fine, 2)], 1), *maps[-3:]]
