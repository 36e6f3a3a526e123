"""The structure of most networks: a backbone, a head on its feature maps, and auxiliary heads for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor, nn

from segwright.contracts import InputContract, Model, PixelOutput
from segwright.labels import LabelSpace
from segwright.models.layers.conv import ClassifierHead, initialize
from segwright.models.layers.features import Features
from segwright.models.layers.norm_config import Norm


@dataclass(slots=True)
class AuxiliaryHeadConfig:
    """An auxiliary head (deep supervision, Zhao et al. 2017) on one of the backbone's feature maps.

    ``level``: the index of the feature map; -1 is the deepest. ``hidden_ratio``: channels of the hidden convolution as
    a fraction of the feature map's; 1/2 in the toolbox and CSAIL, 1/4 in torchvision. ``bias`` of this convolution:
    True in the toolbox. ``in_evaluation``: compute the head in evaluation as well, which takes time; for comparisons.
    ``dropout``: probability of dropout before the classifier; ``spatial_dropout``: it drops whole channels.
    """

    level: int = -2
    hidden_ratio: float = 0.5
    bias: bool = False
    dropout: float = 0.1
    spatial_dropout: bool = True
    norm: Norm = field(default_factory=Norm)
    in_evaluation: bool = False


class AuxiliaryHeads(nn.ModuleList):
    """The heads that ``configs`` describe, on feature maps with ``channels``."""

    def __init__(self, configs: Sequence[AuxiliaryHeadConfig], channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.configs = tuple(configs)
        for config in configs:
            in_channels = channels[config.level]
            self.append(
                ClassifierHead(
                    in_channels,
                    int(in_channels * config.hidden_ratio),
                    classes,
                    norm=config.norm,
                    dropout=config.dropout,
                    spatial_dropout=config.spatial_dropout,
                    bias=config.bias,
                )
            )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Logits of each head at the size of its feature map; in evaluation of those with ``in_evaluation``."""
        return tuple(
            head(maps[config.level])
            for config, head in zip(self.configs, self, strict=True)
            if self.training or config.in_evaluation
        )


class Segmenter(Model):
    """A backbone and a ``head``, which turns the list of the backbone's feature maps into logits."""

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
        """Logits for normalized images, at the stride of the head."""
        maps = self.backbone(images)
        return PixelOutput(self.head(maps), self.auxiliary(maps))
