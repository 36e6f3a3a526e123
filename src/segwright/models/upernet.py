"""UPerNet (Xiao et al. 2018, arXiv 1807.10221): pyramid pooling on top of a feature pyramid. S2's, and its lite."""

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
from segwright.models.layers.resize import convolve_together, upsample
from segwright.models.layers.segmenter import AuxiliaryHeadConfig, Segmenter


@dataclass(slots=True)
class UPerNetConfig:
    """On the backbone's four deepest maps; ``width`` of the pyramid: 512, lite 256."""

    backbone: Backbone = field(default_factory=ResNetConfig)
    grids: tuple[int, ...] = (1, 2, 3, 6)
    width: int = 512
    pooled_width: int = 512
    align_corners: bool = False
    resize_first: bool = True  # of the pooled maps before their convolution, as in S2
    dropout: float = 0.0  # of whole maps, before the classifier; mmsegmentation: 0.1
    norm: Norm = field(default_factory=Norm)
    auxiliary: tuple[AuxiliaryHeadConfig, ...] = ()

    def build(self, labels: LabelSpace, input: InputContract) -> Segmenter:
        """The network."""
        backbone = self.backbone.build(len(input.mean))
        head = UPerNetHead(self, backbone.channels[-4:], len(labels))
        return Segmenter(backbone, head, labels, input, auxiliary=self.auxiliary)


class UPerNetHead(nn.Module):
    """Scores at the stride of the finest of the maps."""

    def __init__(self, config: UPerNetConfig, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.align_corners = config.align_corners
        width, norm = config.width, config.norm
        self.pyramid = PyramidPooling(
            channels[-1],
            config.pooled_width,
            config.grids,
            norm=norm,
            align_corners=config.align_corners,
            resize_first=config.resize_first,
        )
        self.top = conv_norm(self.pyramid.channels, width, 3, norm=norm)
        self.lateral = nn.ModuleList(conv_norm(inputs, width, norm=norm) for inputs in channels[:-1])
        self.smooth = nn.ModuleList(conv_norm(width, width, 3, norm=norm) for _ in channels[:-1])
        self.fuse = conv_norm(width * len(channels), width, 3, norm=norm)
        self.dropout = nn.Dropout2d(config.dropout)
        self.classifier = nn.Conv2d(width, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Scores [N, classes, h, w]."""
        maps = maps[-len(self.lateral) - 1 :]
        corners, deepest = self.align_corners, maps[-1]
        top = convolve_together(self.top, self.pyramid(deepest), deepest.shape[2:], align_corners=corners)
        levels = [top]
        for level in range(len(self.lateral) - 1, -1, -1):
            side = self.lateral[level](maps[level])
            top = side + upsample(top, side.shape[2:], align_corners=corners)
            levels.insert(0, self.smooth[level](top))
        fused = convolve_together(self.fuse, levels, levels[0].shape[2:], align_corners=corners)
        scores: Tensor = self.classifier(self.dropout(fused))
        return scores
