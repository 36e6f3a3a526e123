"""SegFormer's all-MLP head (Xie et al. 2021, arXiv 2105.15203) on any backbone: a modern default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.models.backbones.timm import Backbone, TimmConfig
from segwright.models.layers.conv import conv_norm
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import convolve_together
from segwright.models.layers.segmenter import AuxiliaryHeadConfig, Segmenter


@dataclass(slots=True)
class SegFormerConfig:
    """On the backbone's four deepest maps; ``width`` of the head: 256 for small backbones, 768 for large ones."""

    backbone: Backbone = field(default_factory=lambda: TimmConfig("pvt_v2_b0"))
    width: int = 256
    dropout: float = 0.1
    align_corners: bool = False
    norm: Norm = field(default_factory=Norm)
    auxiliary: tuple[AuxiliaryHeadConfig, ...] = ()

    def build(self, labels: LabelSpace, input: InputContract) -> Segmenter:
        """The network."""
        backbone = self.backbone.build(len(input.mean))
        head = SegFormerHead(self, backbone.channels[-4:], len(labels))
        return Segmenter(backbone, head, labels, input, auxiliary=self.auxiliary)


class SegFormerHead(nn.Module):
    """Every map to one width, to the size of the finest, mixed pixel by pixel; scores at that size."""

    def __init__(self, config: SegFormerConfig, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.align_corners = config.align_corners
        self.project = nn.ModuleList(nn.Conv2d(inputs, config.width, 1) for inputs in channels)
        self.mix = conv_norm(config.width * len(channels), config.width, norm=config.norm)
        self.dropout = nn.Dropout2d(config.dropout)
        self.classifier = nn.Conv2d(config.width, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Scores [N, classes, h, w]."""
        maps = maps[-len(self.project) :]
        projected = [project(x) for project, x in zip(self.project, maps, strict=True)]
        mixed = convolve_together(self.mix, projected, maps[0].shape[2:], align_corners=self.align_corners)
        scores: Tensor = self.classifier(self.dropout(mixed))
        return scores
