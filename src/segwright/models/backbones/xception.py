"""Xception-65 (Chollet 2017, as modified for DeepLabV3+ by Chen et al. 2018), with the keys of S5."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.models.backbones.timm import Features, fill
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import norm_layer

Skip = Literal["conv", "sum", "none"]


@dataclass(slots=True)
class XceptionConfig:
    """Maps at strides 4, 8, 16 and 32: 256, 728, 728 and 2048 channels; below ``output_stride`` dilation."""

    weights: str | None = None
    output_stride: Literal[8, 16, 32] = 32
    norm: Norm = field(default_factory=Norm)

    def build(self, channels: int) -> Xception:
        """The network without its classifier."""
        network = Xception(self, channels)
        fill(network, self.weights, "xception65")
        return network


class Xception(Features):
    """21 blocks of three separable convolutions; the maps of blocks 2 and 3 are taken before their last."""

    def __init__(self, config: XceptionConfig, channels: int) -> None:
        super().__init__()
        norm, reach = config.norm, config.output_stride
        entry, middle, last = {8: (1, 2, 1), 16: (2, 1, 1), 32: (2, 1, 2)}[reach]
        exits = {8: (2, 4), 16: (1, 2), 32: (1, 1)}[reach]
        self.conv1 = nn.Conv2d(channels, 32, 3, 2, 1, bias=False)
        self.bn1 = norm_layer(norm, 32)
        self.conv2 = nn.Conv2d(32, 64, 3, 1, 1, bias=False)
        self.bn2 = norm_layer(norm, 64)
        self.block1 = Block((64, 128, 128, 128), norm, stride=2)
        self.block2 = Block((128, 256, 256, 256), norm, stride=2)
        self.block3 = Block((256, 728, 728, 728), norm, stride=entry)
        for number in range(4, 20):
            self.add_module(f"block{number}", Block((728,) * 4, norm, skip="sum", dilation=middle))
        self.block20 = Block((728, 728, 1024, 1024), norm, stride=last, dilation=exits[0])
        self.block21 = Block(
            (1024, 1536, 1536, 2048), norm, skip="none", dilation=exits[1], activation_first=False
        )
        self.channels = (256, 728, 728, 2048)
        self.strides = (4, 8, min(16, reach), reach)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """Four maps, finest first."""
        x = self.bn2(self.conv2(self.bn1(self.conv1(images))))
        x, _ = self.block1(x)
        x, res2 = self.block2(x)
        x, res3 = self.block3(x)
        for number in range(4, 20):
            x, _ = getattr(self, f"block{number}")(x)
        deep, _ = self.block20(x)
        deep, _ = self.block21(deep)
        return [res2, res3, x, deep]


class Block(nn.Module):
    """Three separable convolutions, the last with the stride, beside a shortcut (``conv``, the input, none)."""

    def __init__(
        self,
        widths: tuple[int, ...],
        norm: Norm,
        *,
        skip: Skip = "conv",
        stride: int = 1,
        dilation: int = 1,
        activation_first: bool = True,
    ) -> None:
        super().__init__()
        self.skip = skip
        for number, (inputs, outputs) in enumerate(pairwise(widths), start=1):
            step = stride if number == 3 else 1
            conv = Separable(
                inputs, outputs, norm, stride=step, dilation=dilation, activation_first=activation_first
            )
            self.add_module(f"sep_conv{number}", conv)
        if skip == "conv":
            self.conv = nn.Conv2d(widths[0], widths[-1], 1, stride, bias=False)
            self.bn = norm_layer(norm.then("identity"), widths[-1])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(the block's output, what its second convolution gave)."""
        first, second, third = (getattr(self, f"sep_conv{number}") for number in (1, 2, 3))
        before = second(first(x))
        inner: Tensor = third(before)
        if self.skip == "conv":
            inner = inner + self.bn(self.conv(x))
        elif self.skip == "sum":
            inner = inner + x
        return inner, before


class Separable(nn.Module):
    """ReLU, depthwise, norm, pointwise, norm; or with a ReLU after each norm instead of the first."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        norm: Norm,
        *,
        stride: int = 1,
        dilation: int = 1,
        activation_first: bool = True,
    ) -> None:
        super().__init__()
        self.activation_first = activation_first
        inner = norm.then("identity") if activation_first else norm
        self.block = nn.ModuleDict(
            {
                "depthwise": nn.Conv2d(
                    inputs, inputs, 3, stride, dilation, dilation, groups=inputs, bias=False
                ),
                "bn_depth": norm_layer(inner, inputs),
                "pointwise": nn.Conv2d(inputs, outputs, 1, bias=False),
                "bn_point": norm_layer(inner, outputs),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """The convolved map."""
        x = F.relu(x) if self.activation_first else x
        for layer in self.block.values():
            x = layer(x)
        return x
