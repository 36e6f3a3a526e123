"""DeepLabV3+ (Chen et al. 2018, arXiv 1802.02611): ASPP, refined by low-level features at stride 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.layers.aspp import ASPPConfig
from segwright.models.layers.decoder import AtrousDecoder, ConvStack, DecoderBranch
from segwright.models.layers.features import Backbone, Features
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.segmenter import AuxiliaryHeadConfig, Segmenter


@dataclass(slots=True)
class DeepLabV3PlusConfig:
    """DeepLabV3+: ASPP, refined by the feature map at stride 4.

    ``channels``: channels of the decoder's two 3x3 convolutions. ``separable``: whether these are depthwise separable.

    ``low_level_channels``: channels of the projected feature map at stride 4. ``dropout``: probability of spatial
    dropout before the classifier (mmsegmentation: 0.1). ``align_corners`` of all resizing: True in panoptic-deeplab.
    """

    backbone: Backbone = field(default_factory=lambda: ResNetConfig(50, output_stride=16))
    aspp: ASPPConfig = field(default_factory=lambda: ASPPConfig(rates=(6, 12, 18)))
    low_level_channels: int = 48
    channels: int = 256
    separable: bool = True
    align_corners: bool = False
    dropout: float = 0.0
    norm: Norm = field(default_factory=Norm)
    auxiliary: tuple[AuxiliaryHeadConfig, ...] = ()

    def build(self, labels: LabelSpace, input: InputContract) -> Segmenter:
        """The network."""
        backbone = self.backbone.build(len(input.mean))
        head = DeepLabV3PlusHead(self, backbone, len(labels))
        return Segmenter(backbone, head, labels, input, auxiliary=self.auxiliary)


class DeepLabV3PlusHead(nn.Module):
    """Logits at stride 4."""

    def __init__(self, config: DeepLabV3PlusConfig, backbone: Features, classes: int) -> None:
        super().__init__()
        self.decoder = AtrousDecoder(
            DecoderBranch(config.aspp, (config.low_level_channels,), config.channels),
            backbone,
            (4,),
            config.norm,
            convs=ConvStack(kernel_size=3, count=2, separable=config.separable),
            align_corners=config.align_corners,
        )
        self.dropout = nn.Dropout2d(config.dropout)
        self.classifier = nn.Conv2d(config.channels, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits [N, classes, H / 4, W / 4]."""
        logits: Tensor = self.classifier(self.dropout(self.decoder(maps)))
        return logits
