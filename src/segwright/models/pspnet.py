"""PSPNet (Zhao et al. 2017, arXiv 1612.01105): the toolbox's PSPNet; PPM and PPM deepsup of CSAIL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.layers.conv import conv_norm
from segwright.models.layers.features import Backbone
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.ppm import PyramidPooling
from segwright.models.layers.resize import upsample_concat, upsample_concat_conv
from segwright.models.layers.segmenter import AuxiliaryHeadConfig, Segmenter


@dataclass(slots=True)
class PSPNetConfig:
    """PSPNet: pyramid pooling, a bottleneck and a classifier.

    ``channels``: channels of each pooled feature map and of the bottleneck. ``pool_sizes``: sides of the pooled feature
    maps.

    ``align_corners``, and ``pooled_first``, the order of concatenation: True in the toolbox. ``merge_levels``: use all
    feature maps at the size of the finest, for HRNet. ``dropout``: probability of spatial dropout before the
    classifier.
    """

    backbone: Backbone = field(default_factory=lambda: ResNetConfig(101, output_stride=8))
    pool_sizes: tuple[int, ...] = (1, 2, 3, 6)
    channels: int = 512
    align_corners: bool = False
    pooled_first: bool = False
    merge_levels: bool = False
    dropout: float = 0.1
    norm: Norm = field(default_factory=Norm)
    auxiliary: tuple[AuxiliaryHeadConfig, ...] = field(default_factory=lambda: (AuxiliaryHeadConfig(),))

    def build(self, labels: LabelSpace, input: InputContract) -> Segmenter:
        """The network."""
        backbone = self.backbone.build(len(input.mean))
        in_channels = sum(backbone.channels) if self.merge_levels else backbone.channels[-1]
        head = PSPNetHead(self, in_channels, len(labels))
        return Segmenter(backbone, head, labels, input, auxiliary=self.auxiliary)


class PSPNetHead(nn.Module):
    """Pyramid pooling, a 3x3 bottleneck and a classifier; logits at the stride of the deepest feature map."""

    def __init__(self, config: PSPNetConfig, in_channels: int, classes: int) -> None:
        super().__init__()
        self.align_corners, self.merge_levels = config.align_corners, config.merge_levels
        self.pyramid = PyramidPooling(
            in_channels,
            config.channels,
            config.pool_sizes,
            norm=config.norm,
            align_corners=config.align_corners,
            pooled_first=config.pooled_first,
        )
        self.bottleneck = conv_norm(self.pyramid.channels, config.channels, 3, norm=config.norm)
        self.dropout = nn.Dropout2d(config.dropout)
        self.classifier = nn.Conv2d(config.channels, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits [N, classes, h, w]."""
        x = upsample_concat(maps, align_corners=self.align_corners) if self.merge_levels else maps[-1]
        mixed = upsample_concat_conv(
            self.bottleneck, self.pyramid(x), x.shape[2:], align_corners=self.align_corners
        )
        logits: Tensor = self.classifier(self.dropout(mixed))
        return logits
