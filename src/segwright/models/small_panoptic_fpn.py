"""The small feature pyramid network with the heads of Panoptic-DeepLab: trains from random weights on a CPU.

The class logits come from the decoder directly; heat map, offsets and foreground from two further convolutions on it.
Panoptic-DeepLab itself (Cheng et al., CVPR 2020) has two separate decoders.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor, nn

from segwright.contracts import CenterOutput, InputContract
from segwright.labels import LabelSpace
from segwright.models.layers.feature_pyramid import (
    center_branch,
    center_heads,
    center_output,
    initialize_classifier,
)
from segwright.models.small_fpn import SmallFPNConfig, SmallFPNTrunk, initialize_small_fpn


@dataclass(slots=True)
class SmallPanopticFPNConfig:
    """``SmallFPNConfig`` with heads for classes, object centers and offsets.

    ``branch_channels``: channels of the two convolutions before heat map and offsets.

    ``foreground``: one more logit per pixel, positive on things, negative on stuff and void. ``offset_scale``: the
    head's offsets are multiplied by it to give pixels of the output, so that the head learns numbers near 1.
    """

    trunk: SmallFPNConfig = field(default_factory=SmallFPNConfig)
    branch_channels: int = 64
    foreground: bool = False
    offset_scale: float = 16.0

    def build(self, labels: LabelSpace, input: InputContract) -> SmallPanopticFPN:
        """The network with random weights."""
        return SmallPanopticFPN(self, labels, input)


class SmallPanopticFPN(SmallFPNTrunk):
    """The network; its output is at stride 4 / ``trunk.upsample_factor``."""

    def __init__(self, config: SmallPanopticFPNConfig, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(config.trunk, labels, input)
        channels, branch_channels = config.trunk.decoder_channels, config.branch_channels
        factor, self.offset_scale = config.trunk.upsample_factor, config.offset_scale
        self.branch = center_branch(channels, branch_channels)
        self.heads = center_heads(
            channels, branch_channels, len(labels), factor, foreground=config.foreground
        )
        self.apply(initialize_small_fpn)
        for head in self.heads.values():
            assert isinstance(head, nn.Sequential)
            initialize_classifier(head[0])

    def forward(self, images: Float[Tensor, "images channels height width"]) -> CenterOutput:
        """Class logits, centers and offsets for normalized images."""
        features = self.features(images)[-1]
        return center_output(features, self.branch, self.heads, self.offset_scale)
