"""U-Net (Ronneberger et al. 2015): on any backbone, and S4's plain one without."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.contracts import InputContract, Model, PixelOutput
from segwright.labels import LabelSpace
from segwright.models.backbones.timm import Backbone, TimmConfig
from segwright.models.layers.conv import conv_norm
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import upsample


@dataclass(slots=True)
class UNetConfig:
    """``widths`` of the decoder, deepest first."""

    backbone: Backbone = field(default_factory=lambda: TimmConfig("resnet34"))
    widths: tuple[int, ...] = (256, 128, 64, 32)
    norm: Norm = field(default_factory=Norm)

    def build(self, labels: LabelSpace, input: InputContract) -> UNet:
        """The network."""
        return UNet(self, labels, input)


@dataclass(slots=True)
class PlainUNetConfig:
    """S4's: convolutions with bias around norms, pooling down, bilinear up; scores at the size of the image.

    ``widths`` of the levels, finest first. ``align_corners`` of the steps up: true in S4.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    align_corners: bool = True
    norm: Norm = field(default_factory=Norm)

    def build(self, labels: LabelSpace, input: InputContract) -> PlainUNet:
        """The network."""
        return PlainUNet(self, labels, input)


class UNet(Model):
    """The network; its logits are at the backbone's finest stride (2 for a ResNet)."""

    def __init__(self, config: UNetConfig, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(labels, input)
        self.backbone = config.backbone.build(len(input.mean))
        channels = self.backbone.channels[::-1]
        inputs, steps = channels[0], []
        for skip, width in zip(channels[1:], config.widths, strict=False):
            steps.append(double_conv(inputs + skip, width, norm=config.norm))
            inputs = width
        self.decoder_blocks = nn.ModuleList(steps)
        self.head = nn.Conv2d(inputs, len(labels), 1)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> PixelOutput:
        """Scores of normalized images."""
        x, *skips = list(self.backbone(images))[::-1]
        for step, skip in zip(self.decoder_blocks, skips, strict=False):
            x = step(torch.cat([upsample(x, skip.shape[2:]), skip], 1))
        return PixelOutput(self.head(x))


class PlainUNet(Model):
    """The network; a side that halves to less than its skip is padded, more at the end."""

    def __init__(self, config: PlainUNetConfig, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(labels, input)
        self.align_corners = config.align_corners
        inputs = (len(input.mean), *config.widths[:-1])
        self.down = nn.ModuleList(
            double_conv(before, width, norm=config.norm, bias=True)
            for before, width in zip(inputs, config.widths, strict=True)
        )
        deepest, *skips = config.widths[::-1]
        self.up = nn.ModuleList()
        for level, skip in enumerate(skips):  # each step halves the channels for the next, the last does not
            width = skips[min(level + 1, len(skips) - 1)]
            self.up.append(double_conv(deepest + skip, width, norm=config.norm, bias=True))
            deepest = width
        self.head = nn.Conv2d(deepest, len(labels), 1)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> PixelOutput:
        """Scores of normalized images."""
        maps = [self.down[0](images)]
        for step in self.down[1:]:
            maps.append(step(F.max_pool2d(maps[-1], 2)))
        x, *skips = maps[::-1]
        for step, skip in zip(self.up, skips, strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=self.align_corners)
            more = [whole - part for whole, part in zip(skip.shape[2:], x.shape[2:], strict=True)]
            x = F.pad(x, (more[1] // 2, more[1] - more[1] // 2, more[0] // 2, more[0] - more[0] // 2))
            x = step(torch.cat([skip, x], 1))
        return PixelOutput(self.head(x))


def double_conv(inputs: int, outputs: int, *, norm: Norm, bias: bool = False) -> nn.Sequential:
    """Twice convolution, norm and activation: 0, 1 and 2, 3."""
    return nn.Sequential(
        *conv_norm(inputs, outputs, 3, norm=norm, bias=bias),
        *conv_norm(outputs, outputs, 3, norm=norm, bias=bias),
    )
