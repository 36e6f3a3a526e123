"""MobileNetV2 (Sandler et al. 2018) with dilation as in S2 and the maps of S2 or S5; keys are torchvision's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.backbones.timm import Features, fill
from segwright.models.layers.conv import conv_norm
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import norm_layer

# expansion, channels, blocks, stride
GROUPS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


@dataclass(slots=True)
class MobileNetV2Config:
    """``taps``: the blocks whose outputs are the maps; S2 takes the first of each stride, not the last.

    A convolution that loses its stride to ``output_stride`` keeps the dilation before it (S2).
    """

    weights: str | None = None
    output_stride: Literal[8, 16, 32] = 32
    taps: tuple[int, ...] = (1, 3, 6, 13, 17)  # S2: 2, 4, 7, 14, 17
    norm: Norm = field(default_factory=lambda: Norm(activation="relu6"))

    def build(self, channels: int) -> MobileNetV2:
        """The network without its last 1x1 convolution."""
        network = MobileNetV2(self, channels)
        fill(network, self.weights, "mobilenet_v2")
        return network


class MobileNetV2(Features):
    """The inverted residual blocks; ``features.0`` is the stem."""

    def __init__(self, config: MobileNetV2Config, channels: int) -> None:
        super().__init__()
        self.taps = config.taps
        self.features = nn.Sequential(conv_norm(channels, 32, 3, norm=config.norm, stride=2))
        inputs, reach, dilation = 32, 2, 1
        sizes = [(32, 2)]
        for expansion, width, count, group_stride in GROUPS:
            stride, before = group_stride, dilation
            if reach * stride > config.output_stride:
                stride, dilation = 1, dilation * stride
            reach *= stride
            for index in range(count):
                first = index == 0
                self.features.append(
                    InvertedResidual(
                        (inputs, width),
                        expansion,
                        config.norm,
                        stride=stride if first else 1,
                        dilation=before if first and group_stride == 2 else dilation,
                    )
                )
                inputs = width
                sizes.append((width, reach))
        self.channels = tuple(sizes[tap][0] for tap in self.taps)
        self.strides = tuple(sizes[tap][1] for tap in self.taps)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """The maps after ``taps``, finest first."""
        maps, x = [], images
        for index, block in enumerate(self.features):
            x = block(x)
            if index in self.taps:
                maps.append(x)
        return maps


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise 3x3, linear 1x1; a shortcut where the shape stays."""

    def __init__(
        self, widths: tuple[int, int], expansion: int, norm: Norm, *, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        inputs, outputs = widths
        inner = inputs * expansion
        layers: list[nn.Module] = [conv_norm(inputs, inner, norm=norm)] if expansion > 1 else []
        depthwise = conv_norm(inner, inner, 3, norm=norm, stride=stride, dilation=dilation, groups=inner)
        last = nn.Conv2d(inner, outputs, 1, bias=False)
        self.conv = nn.Sequential(*layers, depthwise, last, norm_layer(norm.then("identity"), outputs))
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, beside its input where that fits."""
        inner: Tensor = self.conv(x)
        return x + inner if self.shortcut else inner
