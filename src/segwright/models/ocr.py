"""Object-contextual representations (Yuan et al. 2020, arXiv 1909.11065), on HRNet by default."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segwright.contracts import InputContract, Model, PixelOutput
from segwright.labels import LabelSpace
from segwright.models.backbones.hrnet import HRNetConfig
from segwright.models.backbones.timm import Backbone, Features
from segwright.models.layers.conv import ClassifierHead, conv_norm, initialize
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import convolve_together


@dataclass(slots=True)
class OCRConfig:
    """On the backbone's four deepest maps at the size of the finest; ``width`` of pixels, ``inner`` of attention."""

    backbone: Backbone = field(default_factory=HRNetConfig)
    width: int = 512
    inner: int = 256
    dropout: float = 0.05
    align_corners: bool = False
    norm: Norm = field(default_factory=Norm)

    def build(self, labels: LabelSpace, input: InputContract) -> OCR:
        """The network."""
        return OCR(self, self.backbone.build(len(input.mean)), labels, input)


class OCR(Model):
    """Its auxiliary scores say where each class roughly is; they are needed, so they are always there."""

    def __init__(
        self, config: OCRConfig, backbone: Features, labels: LabelSpace, input: InputContract
    ) -> None:
        super().__init__(labels, input)
        self.align_corners = config.align_corners
        self.backbone = backbone
        inputs, width, norm = sum(backbone.channels[-4:]), config.width, config.norm
        self.regions = nn.Sequential(
            conv_norm(inputs, inputs, norm=norm), ClassifierHead(inputs, 0, len(labels), norm=norm)
        )
        self.pixels = conv_norm(inputs, width, 3, norm=norm)
        self.attention = ObjectAttention(width, config.inner, norm)
        self.fuse = conv_norm(2 * width, width, norm=norm)
        self.score = ClassifierHead(width, 0, len(labels), norm=norm, rate=config.dropout)
        for head in (self.regions, self.pixels, self.attention, self.fuse, self.score):
            initialize(head)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> PixelOutput:
        """Scores of normalized images."""
        maps = self.backbone(images)[-4:]
        size, corners = maps[0].shape[2:], self.align_corners
        first, score = self.regions
        assert isinstance(first, nn.Sequential)
        regions = score(convolve_together(first, maps, size, align_corners=corners))
        pixels = convolve_together(self.pixels, maps, size, align_corners=corners)
        weights = regions.flatten(2).softmax(2)
        objects = torch.einsum("nkp,ncp->nck", weights, pixels.flatten(2)).unsqueeze(3)
        context = self.attention(pixels, objects)
        return PixelOutput(self.score(self.fuse(torch.cat([context, pixels], 1))), (regions,))


class ObjectAttention(nn.Module):
    """Every pixel asks the object vectors which of them it belongs to."""

    def __init__(self, width: int, inner: int, norm: Norm) -> None:
        super().__init__()
        self.query = nn.Sequential(conv_norm(width, inner, norm=norm), conv_norm(inner, inner, norm=norm))
        self.key = nn.Sequential(conv_norm(width, inner, norm=norm), conv_norm(inner, inner, norm=norm))
        self.value = conv_norm(width, inner, norm=norm)
        self.out = conv_norm(inner, width, norm=norm)
        self.scale = inner**-0.5

    def forward(
        self, pixels: Float[Tensor, "images c h w"], objects: Float[Tensor, "images c classes 1"]
    ) -> Float[Tensor, "images c h w"]:
        """The mix of object vectors that each pixel sees."""
        query, key, value = self.query(pixels), self.key(objects).flatten(2), self.value(objects).flatten(2)
        likeness = (torch.einsum("nchw,nck->nkhw", query, key) * self.scale).softmax(1)
        mixed: Tensor = self.out(torch.einsum("nkhw,nck->nchw", likeness, value))
        return mixed
