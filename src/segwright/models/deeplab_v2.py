"""DeepLab v2 (Chen et al. 2016, arXiv 1606.00915) as in S3: dilated classifiers that are summed.

With ``refinement`` S3's two residual blocks take their place; with several ``scales`` the same network sees
the image at each of them and the highest score counts.
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
from segwright.models.backbones.timm import Backbone, Features
from segwright.models.layers.conv import initialize
from segwright.models.layers.resize import upsample


def caffe_resnet(depth: int = 101, weights: str | None = None) -> ResNetConfig:
    """The dilated ResNet of DeepLab v2, with its stride on the 1x1 and ceil-mode pooling."""
    return ResNetConfig(depth, weights, output_stride=8, dilation="all", stride_on="1x1", ceil_mode=True)


@dataclass(slots=True)
class DeepLabV2Config:
    """``align_corners`` of the resizing between scales: true in S3 as published, false since torch 0.4."""

    backbone: Backbone = field(default_factory=caffe_resnet)
    rates: tuple[int, ...] = (6, 12, 18, 24)
    refinement: bool = False
    scales: tuple[float, ...] = (1.0,)
    align_corners: bool = False

    def build(self, labels: LabelSpace, input: InputContract) -> DeepLabV2:
        """The network."""
        return DeepLabV2(self, self.backbone.build(len(input.mean)), labels, input)


class DeepLabV2(Model):
    """Scores at stride 8. Auxiliary: the first block's scores with refinement, each scale's scores with several."""

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
        """Scores of normalized images."""
        output: PixelOutput = self.head(self.backbone(images)[-1])
        if len(self.scales) == 1:
            return output
        size = output.logits.shape[2:]
        scores = []
        for scale in self.scales:
            each = output if scale == 1 else self.head(self.backbone(self._scaled(images, scale))[-1])
            scores.append(upsample(each.logits, size, align_corners=self.align_corners))
        return PixelOutput(torch.stack(scores).amax(0), tuple(scores))

    def _scaled(self, images: Tensor, scale: float) -> Tensor:
        size = [int(side * scale) + 1 for side in images.shape[2:]]
        return upsample(images, size, align_corners=self.align_corners)


class DilatedSum(nn.Module):
    """The sum of 3x3 classifiers, one a rate: atrous spatial pyramid pooling of its first kind."""

    def __init__(self, inputs: int, classes: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.classifiers = nn.ModuleList(
            nn.Conv2d(inputs, classes, 3, padding=rate, dilation=rate) for rate in rates
        )

    def forward(self, x: Float[Tensor, "images c h w"]) -> PixelOutput:
        """Scores at the size of ``x``."""
        scores = self.classifiers[0](x)
        for classifier in self.classifiers[1:]:
            scores = scores + classifier(x)
        return PixelOutput(scores)


class Refinement(nn.Module):
    """Two blocks that each score the features and add what the scores say to them; the scores are summed."""

    def __init__(self, inputs: int, classes: int, rates: Sequence[int]) -> None:
        super().__init__()
        rate = rates[1]  # S3 uses 12 in both
        self.blocks = nn.ModuleList(RefinementBlock(inputs, classes, rate) for _ in range(2))
        for name, parameter in self.blocks[-1].named_parameters():
            # The last way back leads nowhere; S3's files have it all the same.
            parameter.requires_grad_(not name.startswith(("from_scores", "back")))

    def forward(self, x: Float[Tensor, "images c h w"]) -> PixelOutput:
        """The summed scores, and the first block's as auxiliary."""
        better, first = self.blocks[0](x)
        _, second = self.blocks[1](better)
        return PixelOutput(first + second, (first,))


class RefinementBlock(nn.Module):
    """Features to scores and, through the scores, back to features (S3)."""

    def __init__(self, inputs: int, classes: int, rate: int, width: int = 512) -> None:
        super().__init__()
        self.inner = nn.Conv2d(inputs, width, 3, padding=rate, dilation=rate)
        self.classifier = nn.Conv2d(width, classes, 3, padding=rate, dilation=rate)
        self.from_scores = nn.Conv2d(classes, width, 1)
        self.back = nn.Conv2d(width, inputs, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(features with the scores told, scores)."""
        inner = F.relu(self.inner(x))
        scores = self.classifier(inner)
        told = inner + F.relu(self.from_scores(scores))
        return x + F.relu(self.back(told)), scores
