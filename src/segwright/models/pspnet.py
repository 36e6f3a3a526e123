"""PSPNet (Zhao et al. 2017): pyramid pooling over the deepest map. S1's PSPNet, S2's PPM and PPM deepsup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.backbones.timm import Backbone
from segwright.models.layers.conv import conv_norm
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.ppm import PyramidPooling
from segwright.models.layers.resize import convolve_together, side_by_side
from segwright.models.layers.segmenter import AuxiliaryHeadConfig, Segmenter


@dataclass(slots=True)
class PSPNetConfig:
    """``width`` of every pooled branch and of the bottleneck; ``align_corners`` and ``pools_first``: S1 true.

    ``merge`` takes all maps at the size of the finest, for HRNet.
    """

    backbone: Backbone = field(default_factory=lambda: ResNetConfig(101, output_stride=8))
    grids: tuple[int, ...] = (1, 2, 3, 6)
    width: int = 512
    align_corners: bool = False
    pools_first: bool = False
    merge: bool = False
    dropout: float = 0.1
    norm: Norm = field(default_factory=Norm)
    auxiliary: tuple[AuxiliaryHeadConfig, ...] = field(default_factory=lambda: (AuxiliaryHeadConfig(),))

    def build(self, labels: LabelSpace, input: InputContract) -> Segmenter:
        """The network."""
        backbone = self.backbone.build(len(input.mean))
        inputs = sum(backbone.channels) if self.merge else backbone.channels[-1]
        head = PSPNetHead(self, inputs, len(labels))
        return Segmenter(backbone, head, labels, input, auxiliary=self.auxiliary)


class PSPNetHead(nn.Module):
    """Pyramid pooling, a 3x3 bottleneck, class scores at the stride of the deepest map."""

    def __init__(self, config: PSPNetConfig, inputs: int, classes: int) -> None:
        super().__init__()
        self.align_corners, self.merge = config.align_corners, config.merge
        self.pyramid = PyramidPooling(
            inputs,
            config.width,
            config.grids,
            norm=config.norm,
            align_corners=config.align_corners,
            pools_first=config.pools_first,
        )
        self.bottleneck = conv_norm(self.pyramid.channels, config.width, 3, norm=config.norm)
        self.dropout = nn.Dropout2d(config.dropout)
        self.classifier = nn.Conv2d(config.width, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Scores [N, classes, h, w]."""
        x = side_by_side(maps, align_corners=self.align_corners) if self.merge else maps[-1]
        mixed = convolve_together(
            self.bottleneck, self.pyramid(x), x.shape[2:], align_corners=self.align_corners
        )
        scores: Tensor = self.classifier(self.dropout(mixed))
        return scores
