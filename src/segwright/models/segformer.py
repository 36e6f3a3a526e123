"""SegFormer's all-MLP decoder (Xie et al. 2021, arXiv 2105.15203) on any backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.models.backbones.timm import TimmConfig
from segwright.models.layers.conv import conv_norm
from segwright.models.layers.features import Backbone
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import upsample_concat_conv
from segwright.models.layers.segmenter import AuxiliaryHeadConfig, Segmenter


@dataclass(slots=True)
class SegFormerConfig:
    """Uses the backbone's four deepest feature maps.

    ``channels``: channels of the decoder; 256 for small backbones, 768 for large ones. ``dropout``: probability of
    spatial dropout before the classifier. ``align_corners`` of all resizing.
    """

    backbone: Backbone = field(default_factory=lambda: TimmConfig("pvt_v2_b0"))
    channels: int = 256
    dropout: float = 0.1
    align_corners: bool = False
    norm: Norm = field(default_factory=Norm)
    auxiliary: tuple[AuxiliaryHeadConfig, ...] = ()

    def build(self, labels: LabelSpace, input: InputContract) -> Segmenter:
        """The network."""
        backbone = self.backbone.build(len(input.mean))
        head = SegFormerHead(self, backbone.channels[-4:], len(labels))
        return Segmenter(backbone, head, labels, input, auxiliary=self.auxiliary)


class SegFormerHead(nn.Module):
    """Projects all feature maps to ``channels``, upsamples them to the finest and mixes them by 1x1 convolutions."""

    def __init__(self, config: SegFormerConfig, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.align_corners = config.align_corners
        self.project = nn.ModuleList(nn.Conv2d(in_channels, config.channels, 1) for in_channels in channels)
        self.mix = conv_norm(config.channels * len(channels), config.channels, norm=config.norm)
        self.dropout = nn.Dropout2d(config.dropout)
        self.classifier = nn.Conv2d(config.channels, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits [N, classes, h, w], at the size of the finest feature map used."""
        maps = maps[-len(self.project) :]
        projected = [project(x) for project, x in zip(self.project, maps, strict=True)]
        mixed = upsample_concat_conv(self.mix, projected, maps[0].shape[2:], align_corners=self.align_corners)
        logits: Tensor = self.classifier(self.dropout(mixed))
        return logits
