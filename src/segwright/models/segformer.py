"""SegFormer's all-MLP head (Xie et al. 2021, arXiv 2105.15203) on any backbone: a modern default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.models.backbones import Backbone, Timm
from segwright.models.layers.conv import conv_norm
from segwright.models.layers.norm import Norm
from segwright.models.layers.resize import enlarge
from segwright.models.layers.segmenter import Auxiliary, Segmenter


@dataclass(slots=True)
class SegFormer:
    """On the backbone's four deepest maps; ``width`` of the head: 256 for small backbones, 768 for large ones."""

    backbone: Backbone = field(default_factory=lambda: Timm("pvt_v2_b0"))
    width: int = 256
    dropout: float = 0.1
    align_corners: bool = False
    norm: Norm = field(default_factory=Norm)
    auxiliary: tuple[Auxiliary, ...] = ()

    def build(self, labels: LabelSpace, contract: InputContract) -> Segmenter:
        """The network."""
        backbone = self.backbone.build(len(contract.mean))
        head = SegFormerHead(self, backbone.channels[-4:], len(labels))
        return Segmenter(backbone, head, labels, contract, auxiliary=self.auxiliary)


class SegFormerHead(nn.Module):
    """Every map to one width, to the size of the finest, mixed pixel by pixel; scores at that size.

    The paper enlarges the projected maps and mixes them after; both steps are linear, so mixing each level
    before it grows gives the same sums for a fraction of the work.
    """

    def __init__(self, config: SegFormer, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.align_corners = config.align_corners
        self.project = nn.ModuleList(nn.Conv2d(inputs, config.width, 1) for inputs in channels)
        self.mix = conv_norm(config.width * len(channels), config.width, norm=config.norm)
        self.dropout = nn.Dropout2d(config.dropout)
        self.classifier = nn.Conv2d(config.width, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Scores [N, classes, h, w]."""
        maps = maps[-len(self.project) :]
        conv, norm = self.mix
        assert isinstance(conv, nn.Conv2d)
        size = maps[0].shape[2:]
        weights = conv.weight.chunk(len(maps), 1)
        total = torch.zeros((), device=maps[0].device, dtype=maps[0].dtype)
        for project, x, weight in zip(self.project, maps, weights, strict=True):
            mixed = nn.functional.conv2d(project(x), weight)
            total = total + enlarge(mixed, size, align_corners=self.align_corners)
        scores: Tensor = self.classifier(self.dropout(norm(total)))
        return scores
