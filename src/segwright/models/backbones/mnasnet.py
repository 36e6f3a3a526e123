"""MNASNet (Tan et al. 2019) with width multipliers 0.5 to 1.3; the keys of torchvision and panoptic-deeplab."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.layers.features import Features
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import norm_layer
from segwright.models.weights.pretrained import load_pretrained

# channels, kernel, stride, expansion, blocks
STACKS = (
    (24, 3, 2, 3, 3),
    (40, 5, 2, 3, 3),
    (80, 5, 2, 6, 3),
    (96, 3, 1, 6, 2),
    (192, 5, 2, 6, 4),
    (320, 3, 1, 6, 1),
)


@dataclass(slots=True)
class MNASNetConfig:
    """MNASNet of any width.

    ``out_indices``: the layers whose outputs are the feature maps, by default at strides 2, 4, 8, 16, 32.

    ``weights``: see ``segwright.models.backbones``. ``width_multiplier``: factor of the number of channels.
    """

    width_multiplier: Literal["0_5", "0_75", "1_0", "1_3"] = "1_0"
    weights: str | None = None
    out_indices: tuple[int, ...] = (7, 8, 9, 11, 13)
    norm: Norm = field(default_factory=lambda: Norm(momentum=1 - 0.9997))

    def build(self, channels: int) -> MNASNet:
        """The network without its last 1x1 convolution."""
        network = MNASNet(self, channels)
        load_pretrained(network, self.weights, f"mnasnet{self.width_multiplier}")
        return network


class MNASNet(Features):
    """``layers`` are those of torchvision: a stem of eight, then six stacks of inverted residual blocks."""

    def __init__(self, config: MNASNetConfig, channels: int) -> None:
        super().__init__()
        factor, norm = float(config.width_multiplier.replace("_", ".")), config.norm
        linear = norm.then("identity")
        standard = (32, 16, *(stack[0] for stack in STACKS))
        first, second, *widths = (multiple_of_8(count * factor) for count in standard)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, first, 3, 2, 1, bias=False), norm_layer(norm, first), nn.Identity(),
            nn.Conv2d(first, first, 3, 1, 1, groups=first, bias=False), norm_layer(norm, first), nn.Identity(),
            nn.Conv2d(first, second, 1, bias=False), norm_layer(linear, second),
        )  # fmt: skip
        before, total_stride = second, 2
        sizes = {7: (second, 2)}
        for index, (out_channels, stack) in enumerate(zip(widths, STACKS, strict=True), start=8):
            _, kernel_size, stride, expansion, count = stack
            blocks = nn.Sequential()
            for block in range(count):
                pair, step = (before, out_channels), 1 if block else stride
                blocks.append(InvertedResidual(pair, kernel_size, expansion, norm, stride=step))
                before = out_channels
            self.layers.append(blocks)
            total_stride *= stride
            sizes[index] = (out_channels, total_stride)
        self.out_indices = config.out_indices
        self.channels = tuple(sizes[index][0] for index in self.out_indices)
        self.strides = tuple(sizes[index][1] for index in self.out_indices)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """The feature maps after ``out_indices``, the finest first."""
        maps, x = [], images
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.out_indices:
                maps.append(x)
        return maps


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection; ``nn.Identity`` stands where torchvision has its ReLU.

    So the keys agree. ``channels``: of input and output.
    """

    def __init__(
        self, channels: tuple[int, int], kernel_size: int, expansion: int, norm: Norm, *, stride: int = 1
    ) -> None:
        super().__init__()
        in_channels, out_channels = channels
        hidden, padding = in_channels * expansion, kernel_size // 2
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 1, bias=False), norm_layer(norm, hidden), nn.Identity(),
            nn.Conv2d(hidden, hidden, kernel_size, stride, padding, groups=hidden, bias=False),
            norm_layer(norm, hidden), nn.Identity(),
            nn.Conv2d(hidden, out_channels, 1, bias=False), norm_layer(norm.then("identity"), out_channels),
        )  # fmt: skip
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, plus its input if both have the same shape."""
        residual: Tensor = self.layers(x)
        return x + residual if self.shortcut else residual


def multiple_of_8(channels: float) -> int:
    """The nearest multiple of 8 that is at least 0.9 times ``channels``."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8
