"""DDRNet-23-slim (Hong et al. 2021, arXiv 2101.06085): a fast network for CPUs and small devices.

One branch stays at stride 8 for edges, the other goes down to stride 64 for context; they meet twice. The
blocks are ours, so it is the paper's plan rather than its weights' layout.
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
    """``width`` of the stem: 32 is slim, 64 the full DDRNet-23; ``hidden`` channels of the head."""

    width: int = 32
    hidden: int = 64
    context: int = 128
    norm: Norm = field(default_factory=Norm)

    def build(self, labels: LabelSpace, input: InputContract) -> DDRNet:
        """The network with random weights."""
        return DDRNet(self, labels, input)


class DDRNet(Model):
    """Scores at stride 8; one auxiliary head on the edge branch while it trains."""

    def __init__(self, config: DDRNetConfig, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(labels, input)
        width, norm = config.width, config.norm
        fine, quiet = 2 * width, norm.then("identity")
        self.stem = nn.Sequential(
            conv_norm(len(input.mean), width, 3, norm=norm, stride=2),
            conv_norm(width, width, 3, norm=norm, stride=2),
            _blocks(width, width, norm),
            _blocks(width, fine, norm, stride=2),
        )
        self.fine = nn.ModuleList(_blocks(fine, fine, norm) for _ in range(2))
        self.coarse = nn.ModuleList(
            _blocks(fine * 2**level, fine * 2 ** (level + 1), norm, stride=2) for level in range(2)
        )
        self.down = nn.ModuleList(
            nn.Sequential(
                *(conv_norm(fine * 2**i, fine * 2 ** (i + 1), 3, norm=norm, stride=2) for i in range(level)),
                conv_norm(fine * 2**level, fine * 2 ** (level + 1), 3, norm=quiet, stride=2),
            )
            for level in range(2)
        )
        self.up = nn.ModuleList(conv_norm(fine * 2 ** (level + 1), fine, norm=quiet) for level in range(2))
        wide = ResNetConfig(norm=norm, group_width=128)  # a bottleneck that is half as wide as its output
        self.last_fine = Bottleneck(wide, fine, width, 1, (1, 1))
        self.last_coarse = Bottleneck(wide, 4 * fine, 2 * fine, 2, (1, 1))
        self.context = Context(self.last_coarse.outputs, config.context, self.last_fine.outputs, norm)
        self.head = ClassifierHead(self.last_fine.outputs, config.hidden, len(labels), norm=norm)
        self.auxiliary = ClassifierHead(fine, config.hidden, len(labels), norm=norm)
        for part in self.children():
            initialize(part)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> PixelOutput:
        """Scores of normalized images."""
        fine = coarse = self.stem(images)
        first = fine
        for level in range(2):
            fine, coarse = self.fine[level](fine), self.coarse[level](coarse)
            told = upsample(self.up[level](coarse), fine.shape[2:])
            coarse = F.relu(coarse + self.down[level](fine))
            fine = F.relu(fine + told)
            first = fine if level == 0 else first
        context = self.context(self.last_coarse(coarse))
        fine = self.last_fine(fine)
        scores = self.head(fine + upsample(context, fine.shape[2:]))
        return PixelOutput(scores, (self.auxiliary(first),) if self.training else ())


class Context(nn.Module):
    """Deep aggregation pyramid pooling: windows of growing size, each told what the smaller ones saw."""

    def __init__(self, inputs: int, width: int, outputs: int, norm: Norm) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(conv_norm(inputs, width, norm=norm) for _ in range(5))
        self.process = nn.ModuleList(conv_norm(width, width, 3, norm=norm) for _ in range(4))
        self.compress = conv_norm(5 * width, outputs, norm=norm.then("identity"))
        self.shortcut = conv_norm(inputs, outputs, norm=norm.then("identity"))

    def forward(self, x: Float[Tensor, "images c h w"]) -> Float[Tensor, "images d h w"]:
        """The features with their surroundings."""
        size = x.shape[2:]
        scales = [self.reduce[0](x)]
        for level, (reduce, process) in enumerate(zip(self.reduce[1:], self.process, strict=True), start=1):
            half = 2**level
            pooled = F.avg_pool2d(x, 2 * half + 1, half, half) if level < 4 else x.mean((2, 3), keepdim=True)
            scales.append(process(upsample(reduce(pooled), size) + scales[-1]))
        together: Tensor = F.relu(self.compress(torch.cat(scales, 1)) + self.shortcut(x))
        return together


def _blocks(inputs: int, outputs: int, norm: Norm, *, stride: int = 1) -> nn.Sequential:
    plain = ResNetConfig(18, norm=norm)
    return nn.Sequential(
        BasicBlock(plain, inputs, outputs, stride, (1, 1)), BasicBlock(plain, outputs, outputs, 1, (1, 1))
    )
