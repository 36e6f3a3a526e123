"""A fully convolutional head (Long et al. 2015): torchvision's FCN, S2's C1, C1 deepsup and C5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.models.backbones import Backbone
from segwright.models.layers.conv import Scorer
from segwright.models.layers.norm import Norm
from segwright.models.layers.resize import side_by_side
from segwright.models.layers.segmenter import Auxiliary, Segmenter
from segwright.models.resnet import ResNet


@dataclass(slots=True)
class FCN:
    """``hidden`` channels as a share of the map's: 1/4 in torchvision and C1, 0 (a bare classifier) in C5.

    ``merge`` resizes all maps to the finest and stacks them, for HRNet; ``align_corners`` concerns only that.
    """

    backbone: Backbone = field(default_factory=lambda: ResNet(50, output_stride=8))
    hidden: float = 0.25
    dropout: float = 0.1  # S2: none
    merge: bool = False
    align_corners: bool = False
    norm: Norm = field(default_factory=Norm)
    auxiliary: tuple[Auxiliary, ...] = ()

    def build(self, labels: LabelSpace, contract: InputContract) -> Segmenter:
        """The network."""
        backbone = self.backbone.build(len(contract.mean))
        inputs = sum(backbone.channels) if self.merge else backbone.channels[-1]
        head = FCNHead(self, inputs, len(labels))
        return Segmenter(backbone, head, labels, contract, auxiliary=self.auxiliary)


class FCNHead(nn.Module):
    """Scores from the deepest map, or from all of them."""

    def __init__(self, config: FCN, inputs: int, classes: int) -> None:
        super().__init__()
        self.merge, self.align_corners = config.merge, config.align_corners
        self.scorer = Scorer(
            inputs,
            int(inputs * config.hidden),
            classes,
            norm=config.norm,
            rate=config.dropout,
            whole_maps=False,
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Scores [N, classes, h, w]."""
        x = side_by_side(maps, align_corners=self.align_corners) if self.merge else maps[-1]
        scores: Tensor = self.scorer(x)
        return scores
