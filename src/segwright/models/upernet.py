"""UPerNet (Xiao et al. 2018, arXiv 1807.10221): pyramid pooling and a feature pyramid. As in CSAIL."""

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
from segwright.models.layers.resize import upsample, upsample_concat_conv
from segwright.models.layers.segmenter import AuxiliaryHeadConfig, Segmenter


@dataclass(slots=True)
class UPerNetConfig:
    """Uses the backbone's four deepest feature maps.

    ``channels``: channels of the feature pyramid; CSAIL's upernet_lite: 256. ``pooled_channels`` and ``pool_sizes``:
    channels and sides of the pooled feature maps. ``resize_before_conv``: upsample these before their convolution, as
    CSAIL does. ``dropout``: probability of spatial dropout before the classifier (mmsegmentation: 0.1).
    ``align_corners`` of all resizing.
    """

    backbone: Backbone = field(default_factory=ResNetConfig)
    pool_sizes: tuple[int, ...] = (1, 2, 3, 6)
    channels: int = 512
    pooled_channels: int = 512
    align_corners: bool = False
    resize_before_conv: bool = True
    dropout: float = 0.0
    norm: Norm = field(default_factory=Norm)
    auxiliary: tuple[AuxiliaryHeadConfig, ...] = ()

    def build(self, labels: LabelSpace, input: InputContract) -> Segmenter:
        """The network."""
        backbone = self.backbone.build(len(input.mean))
        head = UPerNetHead(self, backbone.channels[-4:], len(labels))
        return Segmenter(backbone, head, labels, input, auxiliary=self.auxiliary)


class UPerNetHead(nn.Module):
    """Logits at the stride of the finest feature map. ``in_channels``: of the feature maps, finest first."""

    def __init__(self, config: UPerNetConfig, in_channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.align_corners = config.align_corners
        channels, norm = config.channels, config.norm
        self.pyramid = PyramidPooling(
            in_channels[-1],
            config.pooled_channels,
            config.pool_sizes,
            norm=norm,
            align_corners=config.align_corners,
            resize_before_conv=config.resize_before_conv,
        )
        self.top = conv_norm(self.pyramid.channels, channels, 3, norm=norm)
        self.lateral = nn.ModuleList(conv_norm(count, channels, norm=norm) for count in in_channels[:-1])
        self.smooth = nn.ModuleList(conv_norm(channels, channels, 3, norm=norm) for _ in in_channels[:-1])
        self.fuse = conv_norm(channels * len(in_channels), channels, 3, norm=norm)
        self.dropout = nn.Dropout2d(config.dropout)
        self.classifier = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits [N, classes, h, w]."""
        maps = maps[-len(self.lateral) - 1 :]
        corners, deepest = self.align_corners, maps[-1]
        top = upsample_concat_conv(self.top, self.pyramid(deepest), deepest.shape[2:], align_corners=corners)
        levels = [top]
        for level in range(len(self.lateral) - 1, -1, -1):
            lateral = self.lateral[level](maps[level])
            top = lateral + upsample(top, lateral.shape[2:], align_corners=corners)
            levels.insert(0, self.smooth[level](top))
        fused = upsample_concat_conv(self.fuse, levels, levels[0].shape[2:], align_corners=corners)
        logits: Tensor = self.classifier(self.dropout(fused))
        return logits
