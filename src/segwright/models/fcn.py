"""A fully convolutional head (Long et al. 2015): the FCN of torchvision; C1, C1 deepsup and C5 of CSAIL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor, nn

from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.layers.conv import ClassifierHead, conv_norm
from segwright.models.layers.features import Backbone
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import upsample_concat, upsample_concat_conv
from segwright.models.layers.segmenter import AuxiliaryHeadConfig, Segmenter


@dataclass(slots=True)
class FCNConfig:
    """A fully convolutional head: hidden convolutions and a classifier.

    ``hidden_ratio``: channels of the hidden convolution, as a fraction of its input's.

    0 leaves this convolution out (CSAIL's C5). ``concat_convs``: the number of convolutions before the head, whose
    output is concatenated with their input. ``merge_levels``: use all feature maps at the size of the finest, for
    HRNet; ``align_corners`` applies to this resizing only. ``kernel_size`` of the convolutions: 1 in mmsegmentation on
    HRNet. ``dropout``: probability of dropout before the classifier, 0 in CSAIL; ``spatial_dropout``: it drops whole
    channels, as in mmsegmentation.
    """

    backbone: Backbone = field(default_factory=lambda: ResNetConfig(50, output_stride=8))
    hidden_ratio: float = 0.25
    kernel_size: int = 3
    concat_convs: int = 0  # mmsegmentation on ResNet: 2
    dropout: float = 0.1
    spatial_dropout: bool = False
    merge_levels: bool = False
    align_corners: bool = False
    norm: Norm = field(default_factory=Norm)
    auxiliary: tuple[AuxiliaryHeadConfig, ...] = ()

    def build(self, labels: LabelSpace, input: InputContract) -> Segmenter:
        """The network."""
        backbone = self.backbone.build(len(input.mean))
        in_channels = sum(backbone.channels) if self.merge_levels else backbone.channels[-1]
        head = FCNHead(self, in_channels, len(labels))
        return Segmenter(backbone, head, labels, input, auxiliary=self.auxiliary)


class FCNHead(nn.Module):
    """Logits from the deepest feature map, or from all of them."""

    def __init__(self, config: FCNConfig, in_channels: int, classes: int) -> None:
        super().__init__()
        self.merge_levels, self.align_corners = config.merge_levels, config.align_corners
        hidden, kernel_size = int(in_channels * config.hidden_ratio), config.kernel_size
        channels = pairwise((in_channels, *[hidden] * config.concat_convs))
        self.convs = nn.Sequential(*(conv_norm(*pair, kernel_size, norm=config.norm) for pair in channels))
        self.scorer = ClassifierHead(
            in_channels + hidden if config.concat_convs else in_channels,
            hidden,
            classes,
            norm=config.norm,
            dropout=config.dropout,
            spatial_dropout=config.spatial_dropout,
            kernel_size=kernel_size,
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits [N, classes, h, w]."""
        maps, corners = maps if self.merge_levels else maps[-1:], self.align_corners
        if len(self.convs):
            maps = [*maps, self.convs(upsample_concat(maps, align_corners=corners))]
        if len(maps) == 1 or not len(self.scorer.hidden):
            logits: Tensor = self.scorer(upsample_concat(maps, align_corners=corners))
            return logits
        size = maps[0].shape[2:]
        return self.scorer.classify(
            upsample_concat_conv(self.scorer.hidden, maps, size, align_corners=corners)
        )
