"""VGG-16 and 19 (Simonyan and Zisserman 2015), dilated as in CSAIL's first version; timm's keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.layers.features import Features
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import norm_layer
from segwright.models.weights.pretrained import load_pretrained

COUNTS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


@dataclass(slots=True)
class VGGConfig:
    """Five feature maps at strides 1, 2, 4, 8, 16; the last max pooling is left out.

    ``depth``: 16 or 19. With ``output_stride`` 8 the last stage is dilated. ``norm`` "batch" gives VGG-16 with batch
    norm. ``weights``: see ``segwright.models.backbones``.
    """

    depth: int = 16
    weights: str | None = None
    output_stride: Literal[8, 16, 32] = 16
    norm: Norm = field(default_factory=lambda: Norm("none"))

    def build(self, channels: int) -> VGG:
        """The network without its classifier."""
        network = VGG(self, channels)
        name = f"vgg{self.depth}" if self.norm.kind == "none" else f"vgg{self.depth}_bn"
        load_pretrained(network, self.weights, name)
        return network


class VGG(Features):
    """Five stages of 3x3 convolutions, with max pooling between them."""

    def __init__(self, config: VGGConfig, channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.out_indices: list[int] = []
        in_channels, stride, dilation = channels, 1, 1
        strides = []
        for level, (count, out_channels) in enumerate(zip(COUNTS[config.depth], CHANNELS, strict=True)):
            if level > 0 and stride * 2 <= config.output_stride:
                stride *= 2
                self.features.append(nn.MaxPool2d(2))
            elif level > 0:  # a 3x3 window keeps the size, as in DeepLab's VGG
                dilation *= 2
                self.features.append(nn.MaxPool2d(3, 1, 1))
            for _ in range(count):
                self.features.append(nn.Conv2d(in_channels, out_channels, 3, 1, dilation, dilation))
                self.features.append(norm_layer(config.norm, out_channels))
                if config.norm.kind != "none":  # in place of torchvision's ReLU, so that the keys agree
                    self.features.append(nn.Identity())
                in_channels = out_channels
            self.out_indices.append(len(self.features) - 1)
            strides.append(stride)
        self.channels, self.strides = CHANNELS, tuple(strides)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """Five feature maps, each before its max pooling, the finest first."""
        maps, x = [], images
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.out_indices:
                maps.append(x)
        return maps
