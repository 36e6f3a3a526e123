"""ResNet (He et al. 2016), ResNeXt (Xie et al. 2017) and Wide-ResNet with every switch of the ancestors.

Keys are those of torchvision, S1, S2, S3, S4 and S5 alike: ``conv1``, ``bn1``, ``layer1.0.conv1`` and so on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.backbones.timm import Features, fill
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import norm_layer

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


@dataclass(slots=True)
class ResNetConfig:
    """Maps at strides 2, 4, 8, 16, 32; below ``output_stride`` dilation replaces stride.

    ``dilation`` of a stage without stride: "all" its blocks have the new one (S1, S3); "half_first": the
    convolution that lost its stride keeps the one before (S2); "previous_first": the whole first block does
    (torchvision, S4, S5). The last two differ only in blocks of two convolutions (depth 18 and 34).
    ``multi_grid`` multiplies the dilation of the last stage's blocks in turn. ``weights``: see ``backbones``.
    """

    depth: int = 50  # 18, 34, 50, 101, 152
    weights: str | None = None
    output_stride: Literal[8, 16, 32] = 32
    dilation: Literal["all", "half_first", "previous_first"] = "previous_first"
    multi_grid: tuple[int, ...] = (1,)
    stem: Literal["7x7", "deep"] = "7x7"  # deep: three 3x3 (S1, S2, R52 and R103 of Detectron2)
    stride_on: Literal["1x1", "3x3"] = "3x3"  # 1x1: S3, from Caffe
    ceil_mode: bool = False  # of the max pooling: S1 and S3 true
    groups: int = 1  # ResNeXt: 32
    group_width: int = 64  # ResNeXt 32x4d and 32x8d: 4 and 8; Wide-ResNet: 128
    norm: Norm = field(default_factory=Norm)

    def build(self, channels: int) -> ResNet:
        """The network for images of ``channels`` bands."""
        if self.depth not in BLOCKS:
            raise ValueError(
                f"ResNet-{self.depth} is not known; expected one of {', '.join(map(str, BLOCKS))}"
            )
        network = ResNet(self, channels)
        fill(network, self.weights, self.published_name())
        return network

    def published_name(self) -> str:
        """The name under which timm and torchvision (with a deep stem: S2) publish weights of this layout."""
        if self.stem == "deep":
            return f"resne{'x' if self.groups > 1 else ''}t{self.depth}-imagenet"
        if self.groups > 1:
            return f"resnext{self.depth}_{self.groups}x{self.group_width}d"
        return f"resnet{self.depth}" if self.group_width == 64 else f"wide_resnet{self.depth}_2"


class ResNet(Features):
    """The network without its classifier; its first map is the stem's, before the pooling."""

    def __init__(self, config: ResNetConfig, channels: int) -> None:
        super().__init__()
        width = 64 if config.stem == "7x7" else 128
        self._add_stem(config, channels, width)
        self.maxpool = nn.MaxPool2d(3, 2, 1, ceil_mode=config.ceil_mode)
        self.channels, self.strides = (width,), (2,)
        inputs, reach, dilation = width, 4, 1
        for level, count in enumerate(BLOCKS[config.depth]):
            stride, before = (1 if level == 0 else 2), dilation
            if reach * stride > config.output_stride:
                stride, dilation = 1, dilation * stride
            reach *= stride
            stage = _stage(config, level, inputs, count, stride=stride, dilations=(before, dilation))
            inputs = stage[-1].outputs  # type: ignore[assignment]
            self.add_module(f"layer{level + 1}", stage)
            self.channels, self.strides = (*self.channels, inputs), (*self.strides, reach)
        self._initialize()

    def _add_stem(self, config: ResNetConfig, channels: int, width: int) -> None:
        if config.stem == "7x7":
            self.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
            self.bn1 = norm_layer(config.norm, 64)
            return
        for number, (inputs, outputs) in enumerate(((channels, 64), (64, 64), (64, width)), start=1):
            stride = 2 if number == 1 else 1
            self.add_module(f"conv{number}", nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False))
            self.add_module(f"bn{number}", norm_layer(config.norm, outputs))

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """Five maps, finest first."""
        top = images
        for number in (1, 2, 3):
            if hasattr(self, f"conv{number}"):
                top = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(top))
        maps = [top]
        top = self.maxpool(top)
        for level in (1, 2, 3, 4):
            top = getattr(self, f"layer{level}")(top)
            maps.append(top)
        return maps


def _stage(
    config: ResNetConfig,
    level: int,
    inputs: int,
    count: int,
    *,
    stride: int = 1,
    dilations: tuple[int, int] = (1, 1),
) -> nn.Sequential:
    """Blocks of one resolution; ``dilations``: before this stage and in it."""
    before, dilation = dilations
    firsts = {
        "all": (dilation, dilation),
        "half_first": (before, dilation),
        "previous_first": (before, before),
    }
    kind = BasicBlock if config.depth < 50 else Bottleneck
    stage = nn.Sequential()
    for index in range(count):
        pair = firsts[config.dilation] if index == 0 else (dilation, dilation)
        grid = config.multi_grid[index % len(config.multi_grid)] if level == 3 else 1
        block = kind(
            config, inputs, 64 * 2**level, stride if index == 0 else 1, (pair[0] * grid, pair[1] * grid)
        )
        stage.append(block)
        inputs = block.outputs
    return stage


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut; ``dilations`` of the first and of the second."""

    def __init__(
        self, config: ResNetConfig, inputs: int, width: int, stride: int, dilations: tuple[int, int]
    ) -> None:
        super().__init__()
        first, second = dilations
        self.outputs = width
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, first, first, bias=False)
        self.bn1 = norm_layer(config.norm, width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, second, second, bias=False)
        self.bn2 = norm_layer(config.norm, width)
        self.downsample = _shortcut(config, inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The activated sum of both ways."""
        inner = self.conv2(self.bn1(self.conv1(x)))
        total: Tensor = self.bn2(inner, self.downsample(x))
        return total


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 around a shortcut; the 3x3 has the first of ``dilations``."""

    def __init__(
        self, config: ResNetConfig, inputs: int, width: int, stride: int, dilations: tuple[int, int]
    ) -> None:
        super().__init__()
        inner = width * config.group_width * config.groups // 64
        self.outputs = width * 4
        outer_stride, inner_stride = (stride, 1) if config.stride_on == "1x1" else (1, stride)
        dilation = dilations[0]
        self.conv1 = nn.Conv2d(inputs, inner, 1, outer_stride, bias=False)
        self.bn1 = norm_layer(config.norm, inner)
        self.conv2 = nn.Conv2d(
            inner, inner, 3, inner_stride, dilation, dilation, groups=config.groups, bias=False
        )
        self.bn2 = norm_layer(config.norm, inner)
        self.conv3 = nn.Conv2d(inner, self.outputs, 1, bias=False)
        self.bn3 = norm_layer(config.norm, self.outputs)
        self.downsample = _shortcut(config, inputs, self.outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The activated sum of both ways."""
        inner = self.bn2(self.conv2(self.bn1(self.conv1(x))))
        total: Tensor = self.bn3(self.conv3(inner), self.downsample(x))
        return total


def _shortcut(config: ResNetConfig, inputs: int, outputs: int, stride: int) -> nn.Sequential:
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
    return nn.Sequential(conv, norm_layer(config.norm.then("identity"), outputs))
