"""DeepLabV3 (Chen et al. 2017, arXiv 1706.05587): S1's, torchvision's (and so S4's) and S5's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.backbones.timm import Backbone
from segwright.models.layers.aspp import ASPP, ASPPConfig
from segwright.models.layers.conv import conv_norm
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.segmenter import AuxiliaryHeadConfig, Segmenter


@dataclass(slots=True)
class DeepLabV3Config:
    """``hidden``: channels of the 3x3 convolution between pyramid and classifier; 0 for none, as in S1."""

    backbone: Backbone = field(default_factory=lambda: ResNetConfig(50, output_stride=8))
    atrous: ASPPConfig = field(default_factory=ASPPConfig)
    hidden: int = 256
    norm: Norm = field(default_factory=Norm)
    auxiliary: tuple[AuxiliaryHeadConfig, ...] = ()

    def build(self, labels: LabelSpace, input: InputContract) -> Segmenter:
        """The network."""
        backbone = self.backbone.build(len(input.mean))
        head = DeepLabV3Head(self, backbone.channels[-1], len(labels))
        return Segmenter(backbone, head, labels, input, auxiliary=self.auxiliary)


class DeepLabV3Head(nn.Module):
    """Atrous pyramid over the deepest map, class scores at its stride."""

    def __init__(self, config: DeepLabV3Config, inputs: int, classes: int) -> None:
        super().__init__()
        self.aspp = ASPP(config.atrous, inputs, config.norm)
        width = config.atrous.projected
        self.hidden = (
            conv_norm(width, config.hidden, 3, norm=config.norm) if config.hidden else nn.Sequential()
        )
        self.classifier = nn.Conv2d(config.hidden or width, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Scores [N, classes, h, w]."""
        scores: Tensor = self.classifier(self.hidden(self.aspp(maps[-1])))
        return scores
