"""A fully convolutional head (Long et al. 2015): torchvision's FCN, S2's C1, C1 deepsup and C5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor, nn

from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.backbones.timm import Backbone
from segwright.models.layers.conv import ClassifierHead, conv_norm
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import convolve_together, side_by_side
from segwright.models.layers.segmenter import AuxiliaryHeadConfig, Segmenter


@dataclass(slots=True)
class FCNConfig:
    """``hidden`` channels as a share of the map's: 1/4 in torchvision and C1, 0 (a bare classifier) in C5.

    ``merge`` takes all maps at the size of the finest, for HRNet; ``align_corners`` concerns only that.
    """

    backbone: Backbone = field(default_factory=lambda: ResNetConfig(50, output_stride=8))
    hidden: float = 0.25
    kernel: int = 3  # mmsegmentation on HRNet: 1
    beside: int = 0  # convolutions whose result the last one sees beside the map; mmsegmentation on ResNet: 2
    dropout: float = 0.1  # S2: none
    whole_maps: bool = False  # of the dropout; mmsegmentation: True
    merge: bool = False
    align_corners: bool = False
    norm: Norm = field(default_factory=Norm)
    auxiliary: tuple[AuxiliaryHeadConfig, ...] = ()

    def build(self, labels: LabelSpace, input: InputContract) -> Segmenter:
        """The network."""
        backbone = self.backbone.build(len(input.mean))
        inputs = sum(backbone.channels) if self.merge else backbone.channels[-1]
        head = FCNHead(self, inputs, len(labels))
        return Segmenter(backbone, head, labels, input, auxiliary=self.auxiliary)


class FCNHead(nn.Module):
    """Scores from the deepest map, or from all of them."""

    def __init__(self, config: FCNConfig, inputs: int, classes: int) -> None:
        super().__init__()
        self.merge, self.align_corners = config.merge, config.align_corners
        hidden, kernel = int(inputs * config.hidden), config.kernel
        widths = pairwise((inputs, *[hidden] * config.beside))
        self.beside = nn.Sequential(*(conv_norm(*pair, kernel, norm=config.norm) for pair in widths))
        self.scorer = ClassifierHead(
            inputs + hidden if config.beside else inputs,
            hidden,
            classes,
            norm=config.norm,
            rate=config.dropout,
            whole_maps=config.whole_maps,
            kernel=kernel,
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Scores [N, classes, h, w]."""
        maps, corners = maps if self.merge else maps[-1:], self.align_corners
        if len(self.beside):
            maps = [*maps, self.beside(side_by_side(maps, align_corners=corners))]
        if len(maps) == 1 or not len(self.scorer.hidden):
            scores: Tensor = self.scorer(side_by_side(maps, align_corners=corners))
            return scores
        size = maps[0].shape[2:]
        return self.scorer.score(convolve_together(self.scorer.hidden, maps, size, align_corners=corners))
