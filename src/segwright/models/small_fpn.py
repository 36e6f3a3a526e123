"""A small feature pyramid network, the default: it trains from random weights on a CPU in minutes.

Residual stages at strides 4 to 32, global context on the deepest, a decoder that sums feature maps down to stride 4
(Lin et al. 2017) and a sub-pixel head (Shi et al. 2016) that doubles the resolution. The head keeps thin objects such
as poles sharp without convolutions at stride 2. There are no depthwise convolutions, which are slow on CPUs.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.contracts import InputContract, Model, PixelOutput
from segwright.labels import LabelSpace
from segwright.models.layers.feature_pyramid import (
    ConvNorm,
    FeaturePyramid,
    initialize_classifier,
    initialize_convolution,
    sub_pixel_head,
)


@dataclass(slots=True)
class SmallFPNConfig:
    """A small feature pyramid network, without a backbone.

    ``channels`` and ``depths``: channels and residual blocks of the stages at strides 4, 8, 16, 32.

    ``upsample_factor``: upsampling factor of the sub-pixel head; the stride of the logits is 4 / ``upsample_factor``.
    ``stem_channels``: channels of the first convolution, at stride 2. ``decoder_channels``: channels of the feature
    pyramid.
    """

    channels: tuple[int, ...] = (32, 64, 128, 256)
    depths: tuple[int, ...] = (1, 2, 2, 2)
    stem_channels: int = 24
    decoder_channels: int = 64
    upsample_factor: int = 2

    def build(self, labels: LabelSpace, input: InputContract) -> SmallFPN:
        """The network with random weights."""
        return SmallFPN(self, labels, input)


class SmallFPNTrunk(Model):
    """The network without its heads: from normalized images to feature maps of ``config.decoder_channels``."""

    def __init__(self, config: SmallFPNConfig, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(labels, input)
        channels, decoder_channels = config.channels, config.decoder_channels
        self.stem = nn.Sequential(
            ConvNorm(len(input.mean), config.stem_channels, stride=2), nn.ReLU(inplace=True),
            ConvNorm(config.stem_channels, channels[0], stride=2), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.stages = nn.ModuleList(
            _stage(in_channels, out_channels, depth, stride=1 if level == 0 else 2)
            for level, (in_channels, out_channels, depth) in enumerate(
                zip((channels[0], *channels[:-1]), channels, config.depths, strict=True)
            )
        )
        self.pyramid = FeaturePyramid(channels, decoder_channels)

    def features(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """The decoder's feature maps, the coarsest first: strides 16, 8, 4."""
        encoder, x = [], self.stem(images)
        for stage in self.stages:
            x = stage(x)
            encoder.append(x)
        decoded: list[Tensor] = self.pyramid(encoder)
        return decoded


class SmallFPN(SmallFPNTrunk):
    """The network; its logits are at stride 4 / ``upsample_factor``, in training also those of a head at stride 16."""

    def __init__(self, config: SmallFPNConfig, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(config, labels, input)
        self.head = sub_pixel_head(config.decoder_channels, len(labels), config.upsample_factor)
        self.auxiliary = nn.Conv2d(config.decoder_channels, len(labels), 1)
        self.apply(initialize_small_fpn)
        for classifier in (self.head[0], self.auxiliary):
            initialize_classifier(classifier)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> PixelOutput:
        """Logits for normalized images."""
        maps = self.features(images)
        return PixelOutput(self.head(maps[-1]), (self.auxiliary(maps[0]),) if self.training else ())


class Block(nn.Module):
    """A residual block of two 3x3 convolutions; with a stride the shortcut uses average pooling (ResNet-D)."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvNorm(in_channels, out_channels, stride=stride)
        self.second = ConvNorm(out_channels, out_channels)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False))
        if in_channels != out_channels:
            self.shortcut.append(ConvNorm(in_channels, out_channels, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        """The sum of convolutions and shortcut, activated."""
        residual = self.second(F.relu(self.first(x), inplace=True))
        return F.relu(residual + self.shortcut(x), inplace=True)


def _stage(in_channels: int, out_channels: int, depth: int, *, stride: int) -> nn.Sequential:
    blocks = [Block(in_channels, out_channels, stride=stride)]
    return nn.Sequential(*blocks, *(Block(out_channels, out_channels) for _ in range(depth - 1)))


def initialize_small_fpn(module: nn.Module) -> None:
    """He et al. 2015 for convolutions; scale 0 for the last norm of a block, which then starts as its shortcut."""
    initialize_convolution(module)
    if isinstance(module, Block):
        norm = module.second[1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)
