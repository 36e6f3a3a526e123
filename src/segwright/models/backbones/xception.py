"""Xception-65 (Chollet 2017, as modified for DeepLabV3+ by Chen et al. 2018); the keys of panoptic-deeplab."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.models.layers.features import Features
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import norm_layer
from segwright.models.weights.pretrained import load_pretrained

Skip = Literal["conv", "sum", "none"]


@dataclass(slots=True)
class XceptionConfig:
    """Feature maps at strides 4, 8, 16 and 32 with 256, 728, 728 and 2048 channels.

    Strides beyond ``output_stride`` are replaced by dilation. ``weights``: see ``segwright.models.backbones``.
    """

    weights: str | None = None
    output_stride: Literal[8, 16, 32] = 32
    norm: Norm = field(default_factory=Norm)

    def build(self, channels: int) -> Xception:
        """The network without its classifier."""
        network = Xception(self, channels)
        load_pretrained(network, self.weights, "xception65")
        return network


class Xception(Features):
    """21 blocks of three separable convolutions; the feature maps of blocks 2 and 3 are outputs of their second one."""

    def __init__(self, config: XceptionConfig, channels: int) -> None:
        super().__init__()
        norm, stride = config.norm, config.output_stride
        entry_stride, dilation, exit_stride = {8: (1, 2, 1), 16: (2, 1, 1), 32: (2, 1, 2)}[stride]
        exit_dilations = {8: (2, 4), 16: (1, 2), 32: (1, 1)}[stride]
        self.conv1 = nn.Conv2d(channels, 32, 3, 2, 1, bias=False)
        self.bn1 = norm_layer(norm, 32)
        self.conv2 = nn.Conv2d(32, 64, 3, 1, 1, bias=False)
        self.bn2 = norm_layer(norm, 64)
        self.block1 = Block((64, 128, 128, 128), norm, stride=2)
        self.block2 = Block((128, 256, 256, 256), norm, stride=2)
        self.block3 = Block((256, 728, 728, 728), norm, stride=entry_stride)
        for number in range(4, 20):
            self.add_module(f"block{number}", Block((728,) * 4, norm, skip="sum", dilation=dilation))
        self.block20 = Block((728, 728, 1024, 1024), norm, stride=exit_stride, dilation=exit_dilations[0])
        self.block21 = Block(
            (1024, 1536, 1536, 2048), norm, skip="none", dilation=exit_dilations[1], activation_first=False
        )
        self.channels = (256, 728, 728, 2048)
        self.strides = (4, 8, min(16, stride), stride)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """Four feature maps, the finest first."""
        x = self.bn2(self.conv2(self.bn1(self.conv1(images))))
        x, _ = self.block1(x)
        x, res2 = self.block2(x)
        x, res3 = self.block3(x)
        for number in range(4, 20):
            x, _ = getattr(self, f"block{number}")(x)
        deepest, _ = self.block20(x)
        deepest, _ = self.block21(deepest)
        return [res2, res3, x, deepest]


class Block(nn.Module):
    """Three separable convolutions, the last with the stride. ``skip``: a convolved shortcut, the input, or none.

    ``channels``: of the input and of each convolution.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        norm: Norm,
        *,
        skip: Skip = "conv",
        stride: int = 1,
        dilation: int = 1,
        activation_first: bool = True,
    ) -> None:
        super().__init__()
        self.skip = skip
        for number, pair in enumerate(pairwise(channels), start=1):
            step = stride if number == 3 else 1
            conv = SeparableConv(
                *pair, norm, stride=step, dilation=dilation, activation_first=activation_first
            )
            self.add_module(f"sep_conv{number}", conv)
        if skip == "conv":
            self.conv = nn.Conv2d(channels[0], channels[-1], 1, stride, bias=False)
            self.bn = norm_layer(norm.then("identity"), channels[-1])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(the block's output, the output of its second convolution)."""
        first, second, third = (getattr(self, f"sep_conv{number}") for number in (1, 2, 3))
        before_last = second(first(x))
        output: Tensor = third(before_last)
        if self.skip == "conv":
            output = output + self.bn(self.conv(x))
        elif self.skip == "sum":
            output = output + x
        return output, before_last


class SeparableConv(nn.Module):
    """ReLU, depthwise convolution, norm, 1x1 convolution, norm; without ``activation_first`` ReLU after each norm."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm: Norm,
        *,
        stride: int = 1,
        dilation: int = 1,
        activation_first: bool = True,
    ) -> None:
        super().__init__()
        self.activation_first = activation_first
        after = norm.then("identity") if activation_first else norm
        depthwise = (in_channels, in_channels, 3, stride, dilation, dilation)
        self.block = nn.ModuleDict(
            {
                "depthwise": nn.Conv2d(*depthwise, groups=in_channels, bias=False),
                "bn_depth": norm_layer(after, in_channels),
                "pointwise": nn.Conv2d(in_channels, out_channels, 1, bias=False),
                "bn_point": norm_layer(after, out_channels),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of ``x``."""
        x = F.relu(x) if self.activation_first else x
        for layer in self.block.values():
            x = layer(x)
        return x
