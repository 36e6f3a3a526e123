"""DDRNet-23-slim (Hong et al. 2021, arXiv 2101.06085): a fast network for CPUs and small devices.

One branch stays at stride 8 and keeps edges sharp, the other goes down to stride 64 for context; they exchange
features twice. The architecture is the paper's; the layout of the weights is our own, so published files do not fit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.contracts import InputContract, Model, PixelOutput
from segwright.labels import LabelSpace
from segwright.models.backbones.resnet import BasicBlock, Bottleneck, ResNetConfig
from segwright.models.layers.conv import ClassifierHead, conv_norm, initialize
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import upsample


@dataclass(slots=True)
class DDRNetConfig:
    """``channels`` of the stem: 32 for DDRNet-23-slim, 64 for DDRNet-23.

    ``hidden_channels``: channels of the head's 3x3 convolution. ``context_channels``: channels of each branch of the
    pyramid pooling.
    """

    channels: int = 32
    hidden_channels: int = 64
    context_channels: int = 128
    norm: Norm = field(default_factory=Norm)

    def build(self, labels: LabelSpace, input: InputContract) -> DDRNet:
        """The network with random weights."""
        return DDRNet(self, labels, input)


class DDRNet(Model):
    """Logits at stride 8; in training also those of one auxiliary head on the high-resolution branch."""

    def __init__(self, config: DDRNetConfig, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(labels, input)
        channels, norm = config.channels, config.norm
        fine, linear = 2 * channels, norm.then("identity")
        self.stem = nn.Sequential(
            conv_norm(len(input.mean), channels, 3, norm=norm, stride=2),
            conv_norm(channels, channels, 3, norm=norm, stride=2),
            _blocks(channels, channels, norm),
            _blocks(channels, fine, norm, stride=2),
        )
        self.fine = nn.ModuleList(_blocks(fine, fine, norm) for _ in range(2))
        self.coarse = nn.ModuleList(
            _blocks(fine * 2**level, fine * 2 ** (level + 1), norm, stride=2) for level in range(2)
        )
        self.down = nn.ModuleList(
            nn.Sequential(
                *(conv_norm(fine * 2**i, fine * 2 ** (i + 1), 3, norm=norm, stride=2) for i in range(level)),
                conv_norm(fine * 2**level, fine * 2 ** (level + 1), 3, norm=linear, stride=2),
            )
            for level in range(2)
        )
        self.up = nn.ModuleList(conv_norm(fine * 2 ** (level + 1), fine, norm=linear) for level in range(2))
        wide = ResNetConfig(norm=norm, width_per_group=128)  # inner channels: half of the block's output
        self.last_fine = Bottleneck(wide, fine, channels, 1, (1, 1))
        self.last_coarse = Bottleneck(wide, 4 * fine, 2 * fine, 2, (1, 1))
        outputs = self.last_fine.out_channels
        self.context = DAPPM(self.last_coarse.out_channels, config.context_channels, outputs, norm)
        self.head = ClassifierHead(outputs, config.hidden_channels, len(labels), norm=norm)
        self.auxiliary = ClassifierHead(fine, config.hidden_channels, len(labels), norm=norm)
        for part in self.children():
            initialize(part)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> PixelOutput:
        """Logits for normalized images."""
        fine = coarse = self.stem(images)
        first = fine
        for level in range(2):
            fine, coarse = self.fine[level](fine), self.coarse[level](coarse)
            upsampled = upsample(self.up[level](coarse), fine.shape[2:])
            coarse = F.relu(coarse + self.down[level](fine))
            fine = F.relu(fine + upsampled)
            first = fine if level == 0 else first
        context = self.context(self.last_coarse(coarse))
        fine = self.last_fine(fine)
        logits = self.head(fine + upsample(context, fine.shape[2:]))
        return PixelOutput(logits, (self.auxiliary(first),) if self.training else ())


class DAPPM(nn.Module):
    """Deep aggregation pyramid pooling module: each pooling window also receives the output of the next smaller one."""

    def __init__(self, in_channels: int, channels: int, out_channels: int, norm: Norm) -> None:
        super().__init__()
        linear = norm.then("identity")
        self.reduce = nn.ModuleList(conv_norm(in_channels, channels, norm=norm) for _ in range(5))
        self.process = nn.ModuleList(conv_norm(channels, channels, 3, norm=norm) for _ in range(4))
        self.compress = conv_norm(5 * channels, out_channels, norm=linear)
        self.shortcut = conv_norm(in_channels, out_channels, norm=linear)

    def forward(self, x: Float[Tensor, "images c h w"]) -> Float[Tensor, "images d h w"]:
        """Features with context, at the size of ``x``."""
        size = x.shape[2:]
        scales = [self.reduce[0](x)]
        for level, (reduce, process) in enumerate(zip(self.reduce[1:], self.process, strict=True), start=1):
            half = 2**level
            pooled = F.avg_pool2d(x, 2 * half + 1, half, half) if level < 4 else x.mean((2, 3), keepdim=True)
            scales.append(process(upsample(reduce(pooled), size) + scales[-1]))
        features: Tensor = F.relu(self.compress(torch.cat(scales, 1)) + self.shortcut(x))
        return features


def _blocks(in_channels: int, out_channels: int, norm: Norm, *, stride: int = 1) -> nn.Sequential:
    config = ResNetConfig(18, norm=norm)
    return nn.Sequential(
        BasicBlock(config, in_channels, out_channels, stride, (1, 1)),
        BasicBlock(config, out_channels, out_channels, 1, (1, 1)),
    )
