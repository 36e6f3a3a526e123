"""OCRNet: object-contextual representations (Yuan et al. 2020, arXiv 1909.11065), on HRNet by default."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segwright.contracts import InputContract, Model, PixelOutput
from segwright.labels import LabelSpace
from segwright.models.backbones.hrnet import HRNetConfig
from segwright.models.layers.conv import ClassifierHead, conv_norm, initialize
from segwright.models.layers.features import Backbone, Features
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import upsample_concat_conv


@dataclass(slots=True)
class OCRConfig:
    """OCRNet on the backbone's four deepest feature maps, resized to the finest of them.

    ``channels``: channels of the pixel features and of the vector per class. ``key_channels``: channels of query, key
    and value in the attention. ``dropout``: probability of spatial dropout before the classifier. ``align_corners`` of
    all resizing.
    """

    backbone: Backbone = field(default_factory=HRNetConfig)
    channels: int = 512
    key_channels: int = 256
    dropout: float = 0.05
    align_corners: bool = False
    norm: Norm = field(default_factory=Norm)

    def build(self, labels: LabelSpace, input: InputContract) -> OCR:
        """The network."""
        return OCR(self, self.backbone.build(len(input.mean)), labels, input)


class OCR(Model):
    """Logits at the stride of the finest feature map used.

    The auxiliary logits are a first, coarse segmentation, from which the network computes one vector per class. So they
    are computed in evaluation, too.
    """

    def __init__(
        self, config: OCRConfig, backbone: Features, labels: LabelSpace, input: InputContract
    ) -> None:
        super().__init__(labels, input)
        self.align_corners = config.align_corners
        self.backbone = backbone
        in_channels, channels, norm = sum(backbone.channels[-4:]), config.channels, config.norm
        self.regions = nn.Sequential(
            conv_norm(in_channels, in_channels, norm=norm),
            ClassifierHead(in_channels, 0, len(labels), norm=norm),
        )
        self.pixels = conv_norm(in_channels, channels, 3, norm=norm)
        self.attention = ObjectAttention(channels, config.key_channels, norm)
        self.fuse = conv_norm(2 * channels, channels, norm=norm)
        self.score = ClassifierHead(channels, 0, len(labels), norm=norm, dropout=config.dropout)
        for head in (self.regions, self.pixels, self.attention, self.fuse, self.score):
            initialize(head)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> PixelOutput:
        """Logits for normalized images."""
        maps = self.backbone(images)[-4:]
        size, corners = maps[0].shape[2:], self.align_corners
        conv, classifier = self.regions
        assert isinstance(conv, nn.Sequential)
        regions = classifier(upsample_concat_conv(conv, maps, size, align_corners=corners))
        pixels = upsample_concat_conv(self.pixels, maps, size, align_corners=corners)
        weights = regions.flatten(2).softmax(2)
        objects = torch.einsum("nkp,ncp->nck", weights, pixels.flatten(2)).unsqueeze(3)
        context = self.attention(pixels, objects)
        return PixelOutput(self.score(self.fuse(torch.cat([context, pixels], 1))), (regions,))


class ObjectAttention(nn.Module):
    """Attention of every pixel (query) to one vector per class (key and value)."""

    def __init__(self, channels: int, key_channels: int, norm: Norm) -> None:
        super().__init__()
        wide, narrow = channels, key_channels
        self.query = nn.Sequential(conv_norm(wide, narrow, norm=norm), conv_norm(narrow, narrow, norm=norm))
        self.key = nn.Sequential(conv_norm(wide, narrow, norm=norm), conv_norm(narrow, narrow, norm=norm))
        self.value = conv_norm(wide, narrow, norm=norm)
        self.out = conv_norm(narrow, wide, norm=norm)
        self.scale = key_channels**-0.5

    def forward(
        self, pixels: Float[Tensor, "images c h w"], objects: Float[Tensor, "images c classes 1"]
    ) -> Float[Tensor, "images c h w"]:
        """For each pixel the weighted mean of the vectors of all classes."""
        query, key, value = self.query(pixels), self.key(objects).flatten(2), self.value(objects).flatten(2)
        weights = (torch.einsum("nchw,nck->nkhw", query, key) * self.scale).softmax(1)
        context: Tensor = self.out(torch.einsum("nkhw,nck->nchw", weights, value))
        return context
