"""A small residual pyramid for training from random weights on a CPU: few memory passes, no depthwise layers.

Residual stages at strides 4 to 32, global context on the top, a sum decoder down to stride 4 (as in feature
pyramid networks, Lin et al. 2017) and a sub-pixel head (Shi et al. 2016) that doubles the resolution, so that
poles keep their edges without convolutions at stride 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.contracts import InputContract, Model, PixelOutput
from segwright.labels import LabelSpace
from segwright.models.layers.resize import upsample


@dataclass(slots=True)
class SmallFPNConfig:
    """Channels and blocks of the stages at strides 4, 8, 16, 32; channels of stem and decoder."""

    widths: tuple[int, ...] = (32, 64, 128, 256)
    depths: tuple[int, ...] = (1, 2, 2, 2)
    stem: int = 24
    decoder: int = 64
    finer: int = 2  # the head's output stride is 4 / finer

    def build(self, labels: LabelSpace, input: InputContract) -> SmallFPN:
        """The network with random weights."""
        return SmallFPN(self, labels, input)


class SmallFPNTrunk(Model):
    """Everything but the heads: from normalized images to merged maps of ``config.decoder`` channels."""

    def __init__(self, config: SmallFPNConfig, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(labels, input)
        widths, channels = config.widths, config.decoder
        self.stem = nn.Sequential(
            ConvNorm(len(input.mean), config.stem, stride=2), nn.ReLU(inplace=True),
            ConvNorm(config.stem, widths[0], stride=2), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.stages = nn.ModuleList(
            _stage(before, width, depth, stride=1 if level == 0 else 2)
            for level, (before, width, depth) in enumerate(
                zip((widths[0], *widths[:-1]), widths, config.depths, strict=True)
            )
        )
        self.context = nn.Conv2d(widths[-1], channels, 1)
        self.lateral = nn.ModuleList(ConvNorm(width, channels, kernel=1) for width in widths)
        self.fuse = nn.ModuleList(
            nn.Sequential(ConvNorm(channels, channels), nn.ReLU(inplace=True)) for _ in widths[:-1]
        )

    def merged(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """The merged maps, coarse to fine: strides 16, 8, 4."""
        features, top = [], self.stem(images)
        for stage in self.stages:
            top = stage(top)
            features.append(top)
        context = self.context(top.mean((2, 3), keepdim=True))
        maps = [F.relu(self.lateral[-1](top) + context)]
        for level in range(len(features) - 2, -1, -1):
            side = self.lateral[level](features[level])
            maps.append(self.fuse[level](side + upsample(maps[-1], side.shape[2:])))
        return maps[1:]


class SmallFPN(SmallFPNTrunk):
    """The network; its logits are at stride 4 / ``finer``, one auxiliary head at stride 16 while it trains."""

    def __init__(self, config: SmallFPNConfig, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(config, labels, input)
        self.head = finer_head(config.decoder, len(labels), config.finer)
        self.auxiliary = nn.Conv2d(config.decoder, len(labels), 1)
        self.apply(initialize_small_fpn)
        for last in (self.head[0], self.auxiliary):
            initialize_classifier(last)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> PixelOutput:
        """Scores of normalized images."""
        maps = self.merged(images)
        return PixelOutput(self.head(maps[-1]), (self.auxiliary(maps[0]),) if self.training else ())


def finer_head(inputs: int, outputs: int, finer: int) -> nn.Sequential:
    """Scores at ``finer`` times the resolution of the map."""
    return nn.Sequential(nn.Conv2d(inputs, outputs * finer**2, 1), nn.PixelShuffle(finer))


def initialize_classifier(last: nn.Module) -> None:
    """Small weights for a last convolution: at first it says the same everywhere."""
    assert isinstance(last, nn.Conv2d)
    nn.init.normal_(last.weight, std=0.01)


class ConvNorm(nn.Sequential):
    """Convolution without bias, then batch norm."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut; a stride is averaged on the shortcut (ResNet-D)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, stride=stride)
        self.second = ConvNorm(outputs, outputs)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False))
        if inputs != outputs:
            self.shortcut.append(ConvNorm(inputs, outputs, kernel=1))

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both ways."""
        inner = self.second(F.relu(self.first(x), inplace=True))
        return F.relu(inner + self.shortcut(x), inplace=True)


def _stage(inputs: int, outputs: int, depth: int, *, stride: int) -> nn.Sequential:
    blocks = [Block(inputs, outputs, stride=stride)]
    return nn.Sequential(*blocks, *(Block(outputs, outputs) for _ in range(depth - 1)))


def initialize_small_fpn(module: nn.Module) -> None:
    """Weights for ReLU; a block begins as its shortcut."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, Block):
        norm = module.second[1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)
