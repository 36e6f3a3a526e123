"""DeepLabV3 (Chen et al. 2017, arXiv 1706.05587) as in torchvision, the toolbox and panoptic-deeplab."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.layers.aspp import ASPP, ASPPConfig
from segwright.models.layers.conv import conv_norm
from segwright.models.layers.features import Backbone
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.segmenter import AuxiliaryHeadConfig, Segmenter


@dataclass(slots=True)
class DeepLabV3Config:
    """DeepLabV3: atrous spatial pyramid pooling (ASPP) and a classifier.

    ``hidden_channels``: channels of the 3x3 convolution between ASPP and classifier; 0 for none, as in the toolbox.
    """

    backbone: Backbone = field(default_factory=lambda: ResNetConfig(50, output_stride=8))
    aspp: ASPPConfig = field(default_factory=ASPPConfig)
    hidden_channels: int = 256
    norm: Norm = field(default_factory=Norm)
    auxiliary: tuple[AuxiliaryHeadConfig, ...] = ()

    def build(self, labels: LabelSpace, input: InputContract) -> Segmenter:
        """The network."""
        backbone = self.backbone.build(len(input.mean))
        head = DeepLabV3Head(self, backbone.channels[-1], len(labels))
        return Segmenter(backbone, head, labels, input, auxiliary=self.auxiliary)


class DeepLabV3Head(nn.Module):
    """Atrous spatial pyramid pooling on the deepest feature map; logits at its stride."""

    def __init__(self, config: DeepLabV3Config, in_channels: int, classes: int) -> None:
        super().__init__()
        self.aspp = ASPP(config.aspp, in_channels, config.norm)
        channels, hidden = config.aspp.out_channels, config.hidden_channels
        self.hidden = conv_norm(channels, hidden, 3, norm=config.norm) if hidden else nn.Sequential()
        self.classifier = nn.Conv2d(hidden or channels, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits [N, classes, h, w]."""
        logits: Tensor = self.classifier(self.hidden(self.aspp(maps[-1])))
        return logits
