"""HRNet (Wang et al. 2019, arXiv 1908.07919): branches at strides 4 to 32 that exchange what they see.

Keys are those of the published files, of S2, of S5 and of timm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.backbones.resnet import BasicBlock, Bottleneck, ResNetConfig
from segwright.models.backbones.timm import Features, fill
from segwright.models.layers.conv import conv_norm
from segwright.models.layers.norm_config import Norm, activate
from segwright.models.layers.norm_layers import norm_layer
from segwright.models.layers.resize import upsample

MODULES = (1, 4, 3)  # in stages 2, 3 and 4
DEPTH = 4  # blocks of a branch


@dataclass(slots=True)
class HRNetConfig:
    """Four maps of ``width`` times 1, 2, 4, 8; ``align_corners`` of the exchange: false in S2, true in S5.

    The exchange resizes bilinearly, as all segmentation versions do; timm's classifier takes the nearest pixel.
    """

    width: Literal[18, 32, 48] = 48
    weights: str | None = None
    align_corners: bool = False
    norm: Norm = field(default_factory=Norm)

    def build(self, channels: int) -> HRNet:
        """The network without its classifier."""
        network = HRNet(self, channels)
        fill(network, self.weights, f"hrnet_w{self.width}")
        return network


class HRNet(Features):
    """The network; its four branches are its maps."""

    def __init__(self, config: HRNetConfig, channels: int) -> None:
        super().__init__()
        norm = config.norm
        self.conv1 = nn.Conv2d(channels, 64, 3, 2, 1, bias=False)
        self.bn1 = norm_layer(norm, 64)
        self.conv2 = nn.Conv2d(64, 64, 3, 2, 1, bias=False)
        self.bn2 = norm_layer(norm, 64)
        plain = ResNetConfig(norm=norm)
        self.layer1 = nn.Sequential(
            *(Bottleneck(plain, 64 if index == 0 else 256, 64, 1, (1, 1)) for index in range(4))
        )
        widths = tuple(config.width * 2**level for level in range(4))
        before: tuple[int, ...] = (256,)
        for stage, count in enumerate(MODULES, start=2):
            now = widths[:stage]
            self.add_module(f"transition{stage - 1}", _transition(before, now, norm))
            modules = (Exchange(now, norm, align_corners=config.align_corners) for _ in range(count))
            self.add_module(f"stage{stage}", nn.Sequential(*modules))
            before = now
        self.channels, self.strides = widths, (4, 8, 16, 32)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """Four maps, finest first."""
        x = self.bn2(self.conv2(self.bn1(self.conv1(images))))
        maps = [self.layer1(x)]
        for stage in (2, 3, 4):
            steps = getattr(self, f"transition{stage - 1}")
            maps = [step(maps[min(place, len(maps) - 1)]) for place, step in enumerate(steps)]
            maps = getattr(self, f"stage{stage}")(maps)
        return maps


def _transition(before: Sequence[int], now: Sequence[int], norm: Norm) -> nn.ModuleList:
    """Each old branch as it is (or in its new width), and one new branch at half the size of the last."""
    steps = nn.ModuleList()
    for place, width in enumerate(now):
        if place >= len(before):
            steps.append(nn.Sequential(conv_norm(before[-1], width, 3, norm=norm, stride=2)))
        elif before[place] != width:
            steps.append(conv_norm(before[place], width, 3, norm=norm))
        else:
            steps.append(nn.Identity())
    return steps


class Exchange(nn.Module):
    """Residual blocks in each branch, then every branch gets the sum of all, brought to its size."""

    def __init__(self, widths: Sequence[int], norm: Norm, *, align_corners: bool) -> None:
        super().__init__()
        self.align_corners, self.activation = align_corners, norm
        plain = ResNetConfig(18, norm=norm)
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(plain, width, width, 1, (1, 1)) for _ in range(DEPTH)))
            for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_path(widths, start, end, norm) for start in range(len(widths)))
            for end in range(len(widths))
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """As many maps, of the same shapes."""
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for end, paths in enumerate(self.fuse_layers):
            assert isinstance(paths, nn.ModuleList)
            size = maps[end].shape[2:]
            total = paths[0](maps[0])
            for path, x in zip(paths[1:], maps[1:], strict=True):
                total = total + upsample(path(x), size, align_corners=self.align_corners)
            fused.append(activate(total, self.activation))
        return fused


def _path(widths: Sequence[int], start: int, end: int, norm: Norm) -> nn.Module:
    """From one branch to another: a 1x1 convolution upward, one halving 3x3 per level downward."""
    quiet = norm.then("identity")
    if start == end:
        return nn.Identity()
    if start > end:
        return conv_norm(widths[start], widths[end], norm=quiet)
    steps = [conv_norm(widths[start], widths[start], 3, norm=norm, stride=2) for _ in range(end - start - 1)]
    return nn.Sequential(*steps, conv_norm(widths[start], widths[end], 3, norm=quiet, stride=2))
