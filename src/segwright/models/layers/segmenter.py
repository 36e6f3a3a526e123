"""What nearly every network is: a backbone, a head on its maps, and auxiliary heads while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from segwright.contracts import InputContract, Model, PixelOutput
from segwright.labels import LabelSpace
from segwright.models.backbones.timm import Features
from segwright.models.layers.conv import ClassifierHead, initialize
from segwright.models.layers.norm_config import Norm


@dataclass(slots=True)
class AuxiliaryHeadConfig:
    """An auxiliary head (deep supervision, Zhao et al. 2017) on one of the backbone's maps.

    ``hidden`` channels: a share of the map's, 1/2 in S1 and S2, 1/4 in torchvision. ``when`` it is computed:
    always costs time in prediction and is there for comparisons.
    """

    level: int = -2  # which map; the last is the deepest
    hidden: float = 0.5
    bias: bool = False  # S1: its hidden convolution has one
    dropout: float = 0.1
    whole_maps: bool = True
    norm: Norm = field(default_factory=Norm)
    when: Literal["training", "always"] = "training"


class AuxiliaryHeads(nn.ModuleList):
    """The heads that ``configs`` describe, over maps of ``channels``."""

    def __init__(self, configs: Sequence[AuxiliaryHeadConfig], channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.configs = tuple(configs)
        for config in configs:
            inputs = channels[config.level]
            self.append(
                ClassifierHead(
                    inputs,
                    int(inputs * config.hidden),
                    classes,
                    norm=config.norm,
                    rate=config.dropout,
                    whole_maps=config.whole_maps,
                    bias=config.bias,
                )
            )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Scores of the heads that are due, each at the size of its map."""
        return tuple(
            head(maps[config.level])
            for config, head in zip(self.configs, self, strict=True)
            if self.training or config.when == "always"
        )


class Segmenter(Model):
    """``head`` turns the list of the backbone's maps into scores at their stride."""

    def __init__(
        self,
        backbone: Features,
        head: nn.Module,
        labels: LabelSpace,
        input: InputContract,
        *,
        auxiliary: Sequence[AuxiliaryHeadConfig] = (),
    ) -> None:
        super().__init__(labels, input)
        self.backbone = backbone
        self.head = head
        self.auxiliary = AuxiliaryHeads(auxiliary, backbone.channels, len(labels))
        initialize(self.head)
        initialize(self.auxiliary)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> PixelOutput:
        """Scores of normalized images."""
        maps = self.backbone(images)
        return PixelOutput(self.head(maps), self.auxiliary(maps))
