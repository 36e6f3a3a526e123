"""HRNet (Wang et al. 2019, arXiv 1908.07919): parallel branches at strides 4 to 32 that exchange features.

The keys of the state dict are those of the published files, of CSAIL, panoptic-deeplab and timm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.backbones.resnet import BasicBlock, Bottleneck, ResNetConfig
from segwright.models.layers.conv import conv_norm
from segwright.models.layers.features import Features
from segwright.models.layers.norm_config import Norm, activate
from segwright.models.layers.norm_layers import norm_layer
from segwright.models.layers.resize import upsample
from segwright.models.weights.pretrained import load_pretrained

MODULES = (1, 4, 3)  # in stages 2, 3 and 4
DEPTH = 4  # residual blocks per branch


@dataclass(slots=True)
class HRNetConfig:
    """Four feature maps at strides 4, 8, 16, 32 with ``width`` times 1, 2, 4, 8 channels.

    ``align_corners`` of the upsampling between branches: False in CSAIL, True in panoptic-deeplab. It is bilinear, as
    in all segmentation versions; timm's classifier uses nearest neighbors. ``weights``: see
    ``segwright.models.backbones``.
    """

    width: Literal[18, 32, 48] = 48
    weights: str | None = None
    align_corners: bool = False
    norm: Norm = field(default_factory=Norm)

    def build(self, channels: int) -> HRNet:
        """The network without its classifier."""
        network = HRNet(self, channels)
        load_pretrained(network, self.weights, f"hrnet_w{self.width}")
        return network


class HRNet(Features):
    """The network; its feature maps are the outputs of its four branches."""

    def __init__(self, config: HRNetConfig, channels: int) -> None:
        super().__init__()
        norm = config.norm
        self.conv1 = nn.Conv2d(channels, 64, 3, 2, 1, bias=False)
        self.bn1 = norm_layer(norm, 64)
        self.conv2 = nn.Conv2d(64, 64, 3, 2, 1, bias=False)
        self.bn2 = norm_layer(norm, 64)
        blocks = ResNetConfig(norm=norm)
        self.layer1 = nn.Sequential(
            *(Bottleneck(blocks, 64 if index == 0 else 256, 64, 1, (1, 1)) for index in range(4))
        )
        channels_of_branches = tuple(config.width * 2**level for level in range(4))
        before: tuple[int, ...] = (256,)
        for stage, count in enumerate(MODULES, start=2):
            now = channels_of_branches[:stage]
            self.add_module(f"transition{stage - 1}", _transition(before, now, norm))
            align_corners = config.align_corners
            modules = (HighResolutionModule(now, norm, align_corners=align_corners) for _ in range(count))
            self.add_module(f"stage{stage}", nn.Sequential(*modules))
            before = now
        self.channels, self.strides = channels_of_branches, (4, 8, 16, 32)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """Four feature maps, the finest first."""
        x = self.bn2(self.conv2(self.bn1(self.conv1(images))))
        maps = [self.layer1(x)]
        for stage in (2, 3, 4):
            steps = getattr(self, f"transition{stage - 1}")
            maps = [step(maps[min(branch, len(maps) - 1)]) for branch, step in enumerate(steps)]
            maps = getattr(self, f"stage{stage}")(maps)
        return maps


def _transition(before: Sequence[int], now: Sequence[int], norm: Norm) -> nn.ModuleList:
    """The old branches, convolved where their channels change, and one new branch at half the size of the last."""
    steps = nn.ModuleList()
    for branch, channels in enumerate(now):
        if branch >= len(before):
            steps.append(nn.Sequential(conv_norm(before[-1], channels, 3, norm=norm, stride=2)))
        elif before[branch] != channels:
            steps.append(conv_norm(before[branch], channels, 3, norm=norm))
        else:
            steps.append(nn.Identity())
    return steps


class HighResolutionModule(nn.Module):
    """Residual blocks in each branch; then each branch receives the sum of all branches, resized to its size."""

    def __init__(self, channels: Sequence[int], norm: Norm, *, align_corners: bool) -> None:
        super().__init__()
        self.align_corners, self.activation = align_corners, norm
        blocks = ResNetConfig(18, norm=norm)
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(blocks, count, count, 1, (1, 1)) for _ in range(DEPTH)))
            for count in channels
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_path(channels, source, target, norm) for source in range(len(channels)))
            for target in range(len(channels))
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """One feature map per branch, of the shape of its input."""
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for target, paths in enumerate(self.fuse_layers):
            assert isinstance(paths, nn.ModuleList)
            size = maps[target].shape[2:]
            total = paths[0](maps[0])
            for path, x in zip(paths[1:], maps[1:], strict=True):
                total = total + upsample(path(x), size, align_corners=self.align_corners)
            fused.append(activate(total, self.activation))
        return fused


def _path(channels: Sequence[int], source: int, target: int, norm: Norm) -> nn.Module:
    """From one branch to another: a 1x1 convolution to a finer one, a 3x3 with stride 2 per level to a coarser one."""
    linear = norm.then("identity")
    if source == target:
        return nn.Identity()
    if source > target:
        return conv_norm(channels[source], channels[target], norm=linear)
    before = channels[source]
    steps = [conv_norm(before, before, 3, norm=norm, stride=2) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, conv_norm(before, channels[target], 3, norm=linear, stride=2))
