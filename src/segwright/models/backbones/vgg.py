"""VGG-16 and 19 (Simonyan and Zisserman 2015), dilated for S2's first version; keys are torchvision's and timm's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.backbones.timm import Features, fill
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import norm_layer

COUNTS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)


@dataclass(slots=True)
class VGGConfig:
    """Maps at strides 1, 2, 4, 8, 16 (the last pooling is left out); with ``output_stride`` 8 the last is dilated."""

    depth: int = 16  # or 19
    weights: str | None = None
    output_stride: Literal[8, 16, 32] = 16
    norm: Norm = field(default_factory=lambda: Norm("none"))

    def build(self, channels: int) -> VGG:
        """The network without its classifier."""
        network = VGG(self, channels)
        fill(network, self.weights, f"vgg{self.depth}" + ("" if self.norm.kind == "none" else "_bn"))
        return network


class VGG(Features):
    """Five runs of 3x3 convolutions, with a pooling between each two."""

    def __init__(self, config: VGGConfig, channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.taps: list[int] = []
        inputs, reach, dilation = channels, 1, 1
        strides = []
        for level, (count, width) in enumerate(zip(COUNTS[config.depth], WIDTHS, strict=True)):
            if level > 0 and reach * 2 <= config.output_stride:
                reach *= 2
                self.features.append(nn.MaxPool2d(2))
            elif level > 0:  # as large a window that keeps the size, as in DeepLab's VGG
                dilation *= 2
                self.features.append(nn.MaxPool2d(3, 1, 1))
            for _ in range(count):
                self.features.append(nn.Conv2d(inputs, width, 3, 1, dilation, dilation))
                self.features.append(norm_layer(config.norm, width))
                if config.norm.kind != "none":  # where torchvision has its ReLU, so that the keys agree
                    self.features.append(nn.Identity())
                inputs = width
            self.taps.append(len(self.features) - 1)
            strides.append(reach)
        self.channels, self.strides = WIDTHS, tuple(strides)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """Five maps, each before its pooling."""
        maps, x = [], images
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                maps.append(x)
        return maps
