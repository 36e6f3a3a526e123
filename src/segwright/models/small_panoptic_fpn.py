"""The small pyramid with the heads of Panoptic-DeepLab: trains from random weights on a CPU.

Class scores come from the decoder itself; heat map, offsets and foreground from a branch of their own (Cheng et al.,
CVPR 2020, have two whole decoders).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor, nn

from segwright.contracts import CenterOutput, InputContract
from segwright.labels import LabelSpace
from segwright.models.small_fpn import (
    ConvNorm,
    SmallFPNConfig,
    SmallFPNTrunk,
    finer_head,
    initialize_classifier,
    initialize_small_fpn,
)


@dataclass(slots=True)
class SmallPanopticFPNConfig:
    """``branch``: channels of the branch for objects. ``foreground``: a head that tells things from all else, void too.

    ``reach``: pixels of the output that an offset of 1 from the head stands for, so that it learns numbers near one.
    """

    trunk: SmallFPNConfig = field(default_factory=SmallFPNConfig)
    branch: int = 64
    foreground: bool = False
    reach: float = 16.0

    def build(self, labels: LabelSpace, input: InputContract) -> SmallPanopticFPN:
        """The network with random weights."""
        return SmallPanopticFPN(self, labels, input)


class SmallPanopticFPN(SmallFPNTrunk):
    """The network; all maps are at stride 4 / ``trunk.finer``."""

    def __init__(self, config: SmallPanopticFPNConfig, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(config.trunk, labels, input)
        channels, finer, self.reach = config.trunk.decoder, config.trunk.finer, config.reach
        self.branch = nn.Sequential(
            ConvNorm(channels, config.branch), nn.ReLU(inplace=True),
            ConvNorm(config.branch, config.branch), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.heads = nn.ModuleDict(
            {
                "semantic": finer_head(channels, len(labels), finer),
                "center": finer_head(config.branch, 1, finer),
                "offset": finer_head(config.branch, 2, finer),
            }
        )
        if config.foreground:
            self.heads["foreground"] = finer_head(config.branch, 1, finer)
        self.apply(initialize_small_fpn)
        for head in self.heads.values():
            assert isinstance(head, nn.Sequential)
            initialize_classifier(head[0])

    def forward(self, images: Float[Tensor, "images channels height width"]) -> CenterOutput:
        """Classes, centers and offsets of normalized images."""
        top = self.merged(images)[-1]
        objects = self.branch(top)
        return CenterOutput(
            self.heads["semantic"](top),
            self.heads["center"](objects),
            self.heads["offset"](objects) * self.reach,
            self.heads["foreground"](objects) if "foreground" in self.heads else None,
        )
