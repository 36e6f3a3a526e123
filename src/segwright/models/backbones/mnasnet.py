"""MNASNet (Tan et al. 2019) of widths 0.5, 0.75, 1.0 and 1.3, with the keys of torchvision and S5."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.backbones.timm import Features, fill
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import norm_layer

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
    """``taps``: the layers whose outputs are the maps, at strides 2, 4, 8, 16, 32."""

    width: Literal["0_5", "0_75", "1_0", "1_3"] = "1_0"
    weights: str | None = None
    taps: tuple[int, ...] = (7, 8, 9, 11, 13)
    norm: Norm = field(default_factory=lambda: Norm(momentum=1 - 0.9997))

    def build(self, channels: int) -> MNASNet:
        """The network without its last 1x1 convolution."""
        network = MNASNet(self, channels)
        fill(network, self.weights, f"mnasnet{self.width}")
        return network


class MNASNet(Features):
    """``layers`` are torchvision's: a stem of eight, then six stacks of inverted residuals."""

    def __init__(self, config: MNASNetConfig, channels: int) -> None:
        super().__init__()
        factor, norm = float(config.width.replace("_", ".")), config.norm
        quiet = norm.then("identity")
        first, second, *widths = (eighths(width * factor) for width in (32, 16, *(s[0] for s in STACKS)))
        self.layers = nn.Sequential(
            nn.Conv2d(channels, first, 3, 2, 1, bias=False), norm_layer(norm, first), nn.Identity(),
            nn.Conv2d(first, first, 3, 1, 1, groups=first, bias=False), norm_layer(norm, first), nn.Identity(),
            nn.Conv2d(first, second, 1, bias=False), norm_layer(quiet, second),
        )  # fmt: skip
        inputs, reach = second, 2
        sizes = {7: (second, 2)}
        for place, (width, (_, kernel, stride, expansion, count)) in enumerate(
            zip(widths, STACKS, strict=True)
        ):
            stack = nn.Sequential()
            for index in range(count):
                stack.append(
                    InvertedResidual((inputs, width), kernel, expansion, norm, stride=1 if index else stride)
                )
                inputs = width
            self.layers.append(stack)
            reach *= stride
            sizes[8 + place] = (width, reach)
        self.taps = config.taps
        self.channels = tuple(sizes[tap][0] for tap in self.taps)
        self.strides = tuple(sizes[tap][1] for tap in self.taps)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """The maps after ``taps``, finest first."""
        maps, x = [], images
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.taps:
                maps.append(x)
        return maps


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise, linear 1x1; ``layers`` keep torchvision's places, also of its ReLUs."""

    def __init__(
        self, widths: tuple[int, int], kernel: int, expansion: int, norm: Norm, *, stride: int = 1
    ) -> None:
        super().__init__()
        inputs, outputs = widths
        inner = inputs * expansion
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False), norm_layer(norm, inner), nn.Identity(),
            nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False),
            norm_layer(norm, inner), nn.Identity(),
            nn.Conv2d(inner, outputs, 1, bias=False), norm_layer(norm.then("identity"), outputs),
        )  # fmt: skip
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, beside its input where that fits."""
        inner: Tensor = self.layers(x)
        return x + inner if self.shortcut else inner


def eighths(width: float) -> int:
    """The nearest multiple of 8, not more than a tenth below ``width``."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * width else rounded + 8
