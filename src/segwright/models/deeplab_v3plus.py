"""DeepLabV3+ (Chen et al. 2018, arXiv 1802.02611): the atrous pyramid refined by a map at stride 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from segwright.contracts import InputContract, UserError
from segwright.labels import LabelSpace
from segwright.models.backbones import Backbone
from segwright.models.layers.aspp import ASPP, Atrous
from segwright.models.layers.conv import conv_norm, separable_conv
from segwright.models.layers.norm import Norm
from segwright.models.layers.resize import enlarge
from segwright.models.layers.segmenter import Auxiliary, Segmenter
from segwright.models.resnet import ResNet


@dataclass(slots=True)
class DeepLabV3Plus:
    """``low_width``: channels of the projected map at stride 4; ``separable`` concerns the two 3x3 of the decoder."""

    backbone: Backbone = field(default_factory=lambda: ResNet(50, output_stride=16))
    atrous: Atrous = field(default_factory=lambda: Atrous(rates=(6, 12, 18)))
    low_width: int = 48
    width: int = 256
    separable: bool = True
    align_corners: bool = False  # S5: True
    norm: Norm = field(default_factory=Norm)
    auxiliary: tuple[Auxiliary, ...] = ()

    def build(self, labels: LabelSpace, contract: InputContract) -> Segmenter:
        """The network."""
        backbone = self.backbone.build(len(contract.mean))
        if 4 not in backbone.strides:
            strides = ", ".join(map(str, backbone.strides))
            raise UserError(f"DeepLabV3+ wants a map at stride 4; this backbone has maps at {strides}")
        head = DeepLabV3PlusHead(self, backbone.channels, backbone.strides.index(4), len(labels))
        return Segmenter(backbone, head, labels, contract, auxiliary=self.auxiliary)


class DeepLabV3PlusHead(nn.Module):
    """Scores at stride 4; ``low`` is the place of that map."""

    def __init__(self, config: DeepLabV3Plus, channels: Sequence[int], low: int, classes: int) -> None:
        super().__init__()
        self.low, self.align_corners = low, config.align_corners
        self.aspp = ASPP(config.atrous, channels[-1], config.norm)
        self.project = conv_norm(channels[low], config.low_width, norm=config.norm)
        conv = separable_conv if config.separable else conv_norm
        self.fuse = nn.Sequential(
            conv(config.atrous.projected + config.low_width, config.width, 3, norm=config.norm),
            conv(config.width, config.width, 3, norm=config.norm),
        )
        self.classifier = nn.Conv2d(config.width, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Scores [N, classes, H / 4, W / 4]."""
        low = self.project(maps[self.low])
        context = enlarge(self.aspp(maps[-1]), low.shape[2:], align_corners=self.align_corners)
        scores: Tensor = self.classifier(self.fuse(torch.cat([context, low], 1)))
        return scores
