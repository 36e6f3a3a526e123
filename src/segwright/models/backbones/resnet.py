"""ResNet (He et al. 2016), ResNeXt (Xie et al. 2017) and Wide-ResNet, dilated as in any of the imported projects.

The keys of the state dict are those of torchvision and of all these projects: ``conv1``, ``bn1``, ``layer1.0.conv1``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from segwright.errors import UserError
from segwright.models.layers.features import Features
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import norm_layer
from segwright.models.weights.pretrained import load_pretrained

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


@dataclass(slots=True)
class ResNetConfig:
    """Five feature maps at strides 2, 4, 8, 16, 32; strides beyond ``output_stride`` are replaced by dilation.

    ``dilation``: how a stage whose stride was replaced is dilated. "all": every convolution of the stage has the new
    dilation (toolbox, Pytorch-Deeplab). "half_first": the convolution that lost its stride keeps the dilation of the
    stage before (CSAIL). "previous_first": the first block does (torchvision, MiniCity tutorial, panoptic-deeplab). The
    last two differ only for depths 18 and 34, whose blocks have two 3x3 convolutions.

    ``multi_grid``: factors for the dilation of the last stage's blocks, in turn. ``stem`` "deep": three 3x3
    convolutions (toolbox, CSAIL, R52 and R103 of Detectron2). ``stride_on``: which convolution of a bottleneck has the
    stride; "1x1" in Caffe and so in Pytorch-Deeplab. ``ceil_mode`` of the max pooling: True in toolbox and
    Pytorch-Deeplab. ``groups`` and ``width_per_group``: ResNeXt 32x4d has 32 and 4, Wide-ResNet 1 and 128. ``weights``:
    see ``segwright.models.backbones``. ``depth``: 18, 34, 50, 101 or 152.
    """

    depth: int = 50
    weights: str | None = None
    output_stride: Literal[8, 16, 32] = 32
    dilation: Literal["all", "half_first", "previous_first"] = "previous_first"
    multi_grid: tuple[int, ...] = (1,)
    stem: Literal["7x7", "deep"] = "7x7"
    stride_on: Literal["1x1", "3x3"] = "3x3"
    ceil_mode: bool = False
    groups: int = 1
    width_per_group: int = 64
    norm: Norm = field(default_factory=Norm)

    def build(self, channels: int) -> ResNet:
        """The network for images of ``channels`` bands; ``UserError`` for an unknown depth."""
        if self.depth not in BLOCKS:
            raise UserError(
                f"unknown depth: ResNet-{self.depth}; expected one of {', '.join(map(str, BLOCKS))}"
            )
        network = ResNet(self, channels)
        load_pretrained(network, self.weights, self.published_name())
        return network

    def published_name(self) -> str:
        """The name under which timm and torchvision (with a deep stem: CSAIL) publish weights of this architecture."""
        if self.stem == "deep":
            return f"resne{'x' if self.groups > 1 else ''}t{self.depth}-imagenet"
        if self.groups > 1:
            return f"resnext{self.depth}_{self.groups}x{self.width_per_group}d"
        return f"resnet{self.depth}" if self.width_per_group == 64 else f"wide_resnet{self.depth}_2"


class ResNet(Features):
    """The network without its classifier; its first feature map is the stem's, before the max pooling."""

    def __init__(self, config: ResNetConfig, channels: int) -> None:
        super().__init__()
        stem_channels = 64 if config.stem == "7x7" else 128
        self._add_stem(config, channels, stem_channels)
        self.maxpool = nn.MaxPool2d(3, 2, 1, ceil_mode=config.ceil_mode)
        self.channels, self.strides = (stem_channels,), (2,)
        in_channels, total_stride, dilation = stem_channels, 4, 1
        for level, count in enumerate(BLOCKS[config.depth]):
            stride, before = (1 if level == 0 else 2), dilation
            if total_stride * stride > config.output_stride:
                stride, dilation = 1, dilation * stride
            total_stride *= stride
            stage = _stage(config, level, in_channels, count, stride=stride, dilations=(before, dilation))
            last = stage[-1]
            assert isinstance(last, BasicBlock | Bottleneck)
            in_channels = last.out_channels
            self.add_module(f"layer{level + 1}", stage)
            self.channels, self.strides = (*self.channels, in_channels), (*self.strides, total_stride)
        self._initialize()

    def _add_stem(self, config: ResNetConfig, channels: int, stem_channels: int) -> None:
        if config.stem == "7x7":
            self.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
            self.bn1 = norm_layer(config.norm, 64)
            return
        pairs = ((channels, 64), (64, 64), (64, stem_channels))
        for number, (in_channels, out_channels) in enumerate(pairs, start=1):
            stride = 2 if number == 1 else 1
            conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", norm_layer(config.norm, out_channels))

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """Five feature maps, the finest first."""
        x = images
        for number in (1, 2, 3):
            if hasattr(self, f"conv{number}"):
                x = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(x))
        maps = [x]
        x = self.maxpool(x)
        for level in (1, 2, 3, 4):
            x = getattr(self, f"layer{level}")(x)
            maps.append(x)
        return maps


def _stage(
    config: ResNetConfig,
    level: int,
    in_channels: int,
    count: int,
    *,
    stride: int = 1,
    dilations: tuple[int, int] = (1, 1),
) -> nn.Sequential:
    """``count`` blocks; ``dilations``: of the stage before and of this one."""
    before, dilation = dilations
    first_block = {
        "all": (dilation, dilation),
        "half_first": (before, dilation),
        "previous_first": (before, before),
    }
    block_class = BasicBlock if config.depth < 50 else Bottleneck
    stage = nn.Sequential()
    for index in range(count):
        first, second = first_block[config.dilation] if index == 0 else (dilation, dilation)
        factor = config.multi_grid[index % len(config.multi_grid)] if level == 3 else 1
        pair = (first * factor, second * factor)
        block = block_class(config, in_channels, 64 * 2**level, stride if index == 0 else 1, pair)
        stage.append(block)
        in_channels = block.out_channels
    return stage


class BasicBlock(nn.Module):
    """A residual block of two 3x3 convolutions with ``dilations``."""

    def __init__(
        self, config: ResNetConfig, in_channels: int, channels: int, stride: int, dilations: tuple[int, int]
    ) -> None:
        super().__init__()
        first, second = dilations
        self.out_channels = channels
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, first, first, bias=False)
        self.bn1 = norm_layer(config.norm, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, second, second, bias=False)
        self.bn2 = norm_layer(config.norm, channels)
        self.downsample = _shortcut(config, in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of convolutions and shortcut, activated."""
        residual = self.conv2(self.bn1(self.conv1(x)))
        total: Tensor = self.bn2(residual, self.downsample(x))
        return total


class Bottleneck(nn.Module):
    """A residual block of 1x1, 3x3 and 1x1 convolution; the 3x3 has the first of ``dilations``."""

    def __init__(
        self, config: ResNetConfig, in_channels: int, channels: int, stride: int, dilations: tuple[int, int]
    ) -> None:
        super().__init__()
        hidden = channels * config.width_per_group * config.groups // 64
        self.out_channels = channels * 4
        stride_1x1, stride_3x3 = (stride, 1) if config.stride_on == "1x1" else (1, stride)
        dilation = dilations[0]
        self.conv1 = nn.Conv2d(in_channels, hidden, 1, stride_1x1, bias=False)
        self.bn1 = norm_layer(config.norm, hidden)
        self.conv2 = nn.Conv2d(
            hidden, hidden, 3, stride_3x3, dilation, dilation, groups=config.groups, bias=False
        )
        self.bn2 = norm_layer(config.norm, hidden)
        self.conv3 = nn.Conv2d(hidden, self.out_channels, 1, bias=False)
        self.bn3 = norm_layer(config.norm, self.out_channels)
        self.downsample = _shortcut(config, in_channels, self.out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of convolutions and shortcut, activated."""
        hidden = self.bn2(self.conv2(self.bn1(self.conv1(x))))
        total: Tensor = self.bn3(self.conv3(hidden), self.downsample(x))
        return total


def _shortcut(config: ResNetConfig, in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(conv, norm_layer(config.norm.then("identity"), out_channels))
