"""U-Net (Ronneberger et al. 2015) on any backbone of timm."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segwright.contracts import InputContract, PixelOutput
from segwright.labels import LabelSpace
from segwright.models.backbones import backbone
from segwright.models.layers.resize import enlarge


@dataclass(slots=True)
class UNet:
    """``weights``: None, "imagenet" or a file (see ``backbones``); ``widths`` of the decoder, deepest first."""

    backbone: str = "resnet34"
    weights: str | None = None
    widths: tuple[int, ...] = (256, 128, 64, 32)

    def build(self, labels: LabelSpace, contract: InputContract) -> UNetNet:
        """The network."""
        return UNetNet(self, labels, contract)


class UNetNet(nn.Module):
    """The network; its logits are at the backbone's finest stride (2 for a ResNet)."""

    def __init__(self, config: UNet, labels: LabelSpace, contract: InputContract) -> None:
        super().__init__()
        self.labels, self.contract = labels, contract
        self.backbone = backbone(config.backbone, weights=config.weights, channels=len(contract.mean))
        channels = list(self.backbone.feature_info.channels())[::-1]  # type: ignore[operator, union-attr]
        inputs, steps = channels[0], []
        for skip, width in zip(channels[1:], config.widths, strict=False):
            steps.append(_double_conv(inputs + skip, width))
            inputs = width
        self.decoder = nn.ModuleList(steps)
        self.head = nn.Conv2d(inputs, len(labels), 1)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> PixelOutput:
        """Scores of normalized images."""
        x, *skips = list(self.backbone(images))[::-1]
        for step, skip in zip(self.decoder, skips, strict=False):
            x = step(torch.cat([enlarge(x, skip.shape[2:]), skip], 1))
        return PixelOutput(self.head(x))


def _double_conv(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
