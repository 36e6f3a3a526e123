"""U-Net (Ronneberger et al. 2015): on any backbone, and the plain one of the MiniCity tutorial, without a backbone."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.contracts import InputContract, Model, PixelOutput
from segwright.labels import LabelSpace
from segwright.models.backbones.timm import TimmConfig
from segwright.models.layers.conv import conv_norm
from segwright.models.layers.features import Backbone
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import upsample


@dataclass(slots=True)
class UNetConfig:
    """U-Net on any backbone.

    ``decoder_channels``: channels of the decoder's steps, the deepest first; the last step reaches the finest feature
    map.
    """

    backbone: Backbone = field(default_factory=lambda: TimmConfig("resnet34"))
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32)
    norm: Norm = field(default_factory=Norm)

    def build(self, labels: LabelSpace, input: InputContract) -> UNet:
        """The network."""
        return UNet(self, labels, input)


@dataclass(slots=True)
class PlainUNetConfig:
    """The tutorial's U-Net: convolutions with bias, max pooling, bilinear upsampling; logits at the size of the image.

    ``channels``: channels of the levels, the finest first. ``align_corners`` of the upsampling: True in the tutorial.
    """

    channels: tuple[int, ...] = (64, 128, 256, 512, 512)
    align_corners: bool = True
    norm: Norm = field(default_factory=Norm)

    def build(self, labels: LabelSpace, input: InputContract) -> PlainUNet:
        """The network."""
        return PlainUNet(self, labels, input)


class UNet(Model):
    """The network; its logits have the backbone's finest stride (2 for a ResNet)."""

    def __init__(self, config: UNetConfig, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(labels, input)
        self.backbone = config.backbone.build(len(input.mean))
        channels, *skips = self.backbone.channels[::-1]
        blocks = []
        for skip, out_channels in zip(skips, config.decoder_channels, strict=False):
            blocks.append(double_conv(channels + skip, out_channels, norm=config.norm))
            channels = out_channels
        self.decoder_blocks = nn.ModuleList(blocks)
        self.head = nn.Conv2d(channels, len(labels), 1)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> PixelOutput:
        """Logits for normalized images."""
        x, *skips = list(self.backbone(images))[::-1]
        for block, skip in zip(self.decoder_blocks, skips, strict=False):
            x = block(torch.cat([upsample(x, skip.shape[2:]), skip], 1))
        return PixelOutput(self.head(x))


class PlainUNet(Model):
    """The network. Where upsampling gives less than the size of the skip connection, zeros are added on both sides."""

    def __init__(self, config: PlainUNetConfig, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(labels, input)
        self.align_corners = config.align_corners
        in_channels = (len(input.mean), *config.channels[:-1])
        self.down = nn.ModuleList(
            double_conv(*pair, norm=config.norm, bias=True)
            for pair in zip(in_channels, config.channels, strict=True)
        )
        channels, *skips = config.channels[::-1]
        self.up = nn.ModuleList()
        for level, skip in enumerate(
            skips
        ):  # each step gives the channels of the next skip, the last its own
            out_channels = skips[min(level + 1, len(skips) - 1)]
            self.up.append(double_conv(channels + skip, out_channels, norm=config.norm, bias=True))
            channels = out_channels
        self.head = nn.Conv2d(channels, len(labels), 1)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> PixelOutput:
        """Logits for normalized images."""
        maps = [self.down[0](images)]
        for block in self.down[1:]:
            maps.append(block(F.max_pool2d(maps[-1], 2)))
        x, *skips = maps[::-1]
        for block, skip in zip(self.up, skips, strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=self.align_corners)
            rows, columns = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
            x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
            x = block(torch.cat([skip, x], 1))
        return PixelOutput(self.head(x))


def double_conv(in_channels: int, out_channels: int, *, norm: Norm, bias: bool = False) -> nn.Sequential:
    """Two 3x3 convolutions (``0``, ``2``), each followed by norm and activation (``1``, ``3``)."""
    return nn.Sequential(
        *conv_norm(in_channels, out_channels, 3, norm=norm, bias=bias),
        *conv_norm(out_channels, out_channels, 3, norm=norm, bias=bias),
    )
