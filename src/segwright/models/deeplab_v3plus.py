"""DeepLabV3+ (Chen et al. 2018, arXiv 1802.02611): the atrous pyramid refined by a map at stride 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.backbones.timm import Backbone, Features
from segwright.models.layers.aspp import ASPPConfig
from segwright.models.layers.decoder import AtrousDecoder, ConvStack, DecoderBranch
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.segmenter import AuxiliaryHeadConfig, Segmenter


@dataclass(slots=True)
class DeepLabV3PlusConfig:
    """``low_width``: channels of the projected map at stride 4; ``separable`` concerns the two 3x3 of the decoder."""

    backbone: Backbone = field(default_factory=lambda: ResNetConfig(50, output_stride=16))
    atrous: ASPPConfig = field(default_factory=lambda: ASPPConfig(rates=(6, 12, 18)))
    low_width: int = 48
    width: int = 256
    separable: bool = True
    align_corners: bool = False  # S5: True
    dropout: float = 0.0  # of whole maps, before the classifier; mmsegmentation: 0.1
    norm: Norm = field(default_factory=Norm)
    auxiliary: tuple[AuxiliaryHeadConfig, ...] = ()

    def build(self, labels: LabelSpace, input: InputContract) -> Segmenter:
        """The network."""
        backbone = self.backbone.build(len(input.mean))
        head = DeepLabV3PlusHead(self, backbone, len(labels))
        return Segmenter(backbone, head, labels, input, auxiliary=self.auxiliary)


class DeepLabV3PlusHead(nn.Module):
    """Scores at stride 4."""

    def __init__(self, config: DeepLabV3PlusConfig, backbone: Features, classes: int) -> None:
        super().__init__()
        self.decoder = AtrousDecoder(
            DecoderBranch(config.atrous, (config.low_width,), config.width),
            backbone,
            (4,),
            config.norm,
            convs=ConvStack(kernel=3, count=2, separable=config.separable),
            align_corners=config.align_corners,
        )
        self.dropout = nn.Dropout2d(config.dropout)
        self.classifier = nn.Conv2d(config.width, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Scores [N, classes, H / 4, W / 4]."""
        scores: Tensor = self.classifier(self.dropout(self.decoder(maps)))
        return scores
