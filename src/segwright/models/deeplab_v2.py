"""DeepLab v2 (Chen et al. 2016, arXiv 1606.00915) as in Pytorch-Deeplab: a sum of dilated classifiers.

With ``refinement`` Pytorch-Deeplab's two residual blocks replace the sum. With several ``scales`` the network runs on
the image at each scale, and the maximum of the logits is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.contracts import InputContract, Model, PixelOutput
from segwright.labels import LabelSpace
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.layers.conv import initialize
from segwright.models.layers.features import Backbone, Features
from segwright.models.layers.resize import upsample


def caffe_resnet(depth: int = 101) -> ResNetConfig:
    """The dilated ResNet of DeepLab v2: the stride is on the 1x1 convolution, the max pooling rounds sizes up."""
    return ResNetConfig(depth, output_stride=8, dilation="all", stride_on="1x1", ceil_mode=True)


@dataclass(slots=True)
class DeepLabV2Config:
    """DeepLab v2: dilated classifiers on the deepest feature map, whose logits are added.

    ``rates``: dilation of the classifiers.

    ``align_corners`` of the resizing between scales: True in Pytorch-Deeplab when it was published (before torch 0.4),
    False with later versions of torch.
    """

    backbone: Backbone = field(default_factory=caffe_resnet)
    rates: tuple[int, ...] = (6, 12, 18, 24)
    refinement: bool = False
    scales: tuple[float, ...] = (1.0,)
    align_corners: bool = False

    def build(self, labels: LabelSpace, input: InputContract) -> DeepLabV2:
        """The network."""
        return DeepLabV2(self, self.backbone.build(len(input.mean)), labels, input)


class DeepLabV2(Model):
    """Logits at stride 8.

    Auxiliary logits: with ``refinement`` those of the first block, with several scales those of each scale.
    """

    def __init__(
        self, config: DeepLabV2Config, backbone: Features, labels: LabelSpace, input: InputContract
    ) -> None:
        super().__init__(labels, input)
        self.scales, self.align_corners = config.scales, config.align_corners
        self.backbone = backbone
        head = Refinement if config.refinement else DilatedSum
        self.head = head(backbone.channels[-1], len(labels), config.rates)
        initialize(self.head)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> PixelOutput:
        """Logits for normalized images."""
        output: PixelOutput = self.head(self.backbone(images)[-1])
        if len(self.scales) == 1:
            return output
        size = output.logits.shape[2:]
        logits = []
        for scale in self.scales:
            scaled = output if scale == 1 else self.head(self.backbone(self._scaled(images, scale))[-1])
            logits.append(upsample(scaled.logits, size, align_corners=self.align_corners))
        return PixelOutput(torch.stack(logits).amax(0), tuple(logits))

    def _scaled(self, images: Tensor, scale: float) -> Tensor:
        size = [int(side * scale) + 1 for side in images.shape[2:]]
        return upsample(images, size, align_corners=self.align_corners)


class DilatedSum(nn.Module):
    """The sum of 3x3 classifiers, one per dilation rate: the first form of atrous spatial pyramid pooling."""

    def __init__(self, in_channels: int, classes: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.classifiers = nn.ModuleList(
            nn.Conv2d(in_channels, classes, 3, padding=rate, dilation=rate) for rate in rates
        )

    def forward(self, x: Float[Tensor, "images c h w"]) -> PixelOutput:
        """Logits at the size of ``x``."""
        logits = self.classifiers[0](x)
        for classifier in self.classifiers[1:]:
            logits = logits + classifier(x)
        return PixelOutput(logits)


class Refinement(nn.Module):
    """Two refinement blocks in a row; the sum of their logits."""

    def __init__(self, in_channels: int, classes: int, rates: Sequence[int]) -> None:
        super().__init__()
        rate = rates[1]  # Pytorch-Deeplab: 12 in both blocks
        self.blocks = nn.ModuleList(RefinementBlock(in_channels, classes, rate) for _ in range(2))
        for name, parameter in self.blocks[-1].named_parameters():
            # Nothing uses the features of the last block, but Pytorch-Deeplab's files contain its weights.
            parameter.requires_grad_(not name.startswith(("from_scores", "back")))

    def forward(self, x: Float[Tensor, "images c h w"]) -> PixelOutput:
        """The summed logits; those of the first block as auxiliary."""
        refined, first = self.blocks[0](x)
        _, second = self.blocks[1](refined)
        return PixelOutput(first + second, (first,))


class RefinementBlock(nn.Module):
    """Logits from features, and features refined by these logits (Pytorch-Deeplab)."""

    def __init__(self, in_channels: int, classes: int, rate: int, channels: int = 512) -> None:
        super().__init__()
        self.inner = nn.Conv2d(in_channels, channels, 3, padding=rate, dilation=rate)
        self.classifier = nn.Conv2d(channels, classes, 3, padding=rate, dilation=rate)
        self.from_scores = nn.Conv2d(classes, channels, 1)
        self.back = nn.Conv2d(channels, in_channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(refined features, logits), both at the size of ``x``."""
        hidden = F.relu(self.inner(x))
        logits = self.classifier(hidden)
        refined = hidden + F.relu(self.from_scores(logits))
        return x + F.relu(self.back(refined)), logits
