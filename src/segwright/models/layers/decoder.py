"""The decoder of DeepLabV3+ and Panoptic-DeepLab: an atrous pyramid, refined by finer maps of the backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from segwright.errors import UserError
from segwright.models.backbones.timm import Features
from segwright.models.layers.aspp import ASPP, ASPPConfig
from segwright.models.layers.conv import conv_norm, separable_conv
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import upsample

RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}
"""The rates of the atrous pyramid by the output stride of the backbone."""


@dataclass(slots=True)
class ConvStack:
    """Equal convolutions in a row: one separable 5x5 (S5), or as far seeing two 3x3 (DeepLabV3+, Detectron2)."""

    kernel: int = 5
    count: int = 1
    separable: bool = True

    def build(self, widths: Sequence[int], norm: Norm) -> nn.Sequential:
        """The convolutions between maps of ``widths`` channels."""
        if self.kernel % 2 == 0 or self.count < 1:
            raise UserError(
                f"{self.count} convolutions of {self.kernel}x{self.kernel} in a row; expected one or more with an odd "
                "kernel, which keeps the size"
            )
        conv = separable_conv if self.separable else conv_norm
        return nn.Sequential(
            *(conv(inputs, outputs, self.kernel, norm=norm) for inputs, outputs in pairwise(widths))
        )


@dataclass(slots=True)
class DecoderBranch:
    """One decoder and the scores made of it.

    ``projected``: channels of the finer maps after a 1x1 convolution, the coarsest of them first; ``width``: of the
    maps that they are fused with; ``hidden``: of the last map before each score, 0 for none of its own.
    """

    atrous: ASPPConfig = field(default_factory=lambda: ASPPConfig(RATES[16], pooled="bare"))
    projected: tuple[int, ...] = (64, 32)
    width: int = 256
    hidden: int = 256


class AtrousDecoder(nn.Module):
    """From the backbone's maps to one of ``branch.width`` channels in the size of the finest of ``strides``.

    ``strides`` of the finer maps, the coarsest first. ``finer_first``: the order in which maps are concatenated.
    """

    def __init__(
        self,
        branch: DecoderBranch,
        backbone: Features,
        strides: Sequence[int],
        norm: Norm,
        *,
        convs: ConvStack | None = None,
        align_corners: bool = True,
        finer_first: bool = False,
    ) -> None:
        super().__init__()
        self.levels = levels_of(backbone, strides)
        if len(branch.projected) != len(self.levels):
            raise UserError(
                f"the decoder has {len(branch.projected)} projected widths ({_listed(branch.projected)}) for maps at "
                f"strides {_listed(strides)}; expected one width a map"
            )
        self.align_corners, self.finer_first = align_corners, finer_first
        convs = convs or ConvStack()
        self.aspp = ASPP(branch.atrous, backbone.channels[-1], norm, align_corners=align_corners)
        self.project, self.fuse = nn.ModuleList(), nn.ModuleList()
        before = branch.atrous.projected
        for level, width in zip(self.levels, branch.projected, strict=True):
            self.project.append(conv_norm(backbone.channels[level], width, norm=norm))
            self.fuse.append(convs.build([before + width, *[branch.width] * convs.count], norm))
            before = branch.width

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """[N, width, H / stride, W / stride]."""
        x: Tensor = self.aspp(maps[-1])
        for level, project, fuse in zip(self.levels, self.project, self.fuse, strict=True):
            finer = project(maps[level])
            x = upsample(x, finer.shape[2:], align_corners=self.align_corners)
            x = fuse(torch.cat([finer, x] if self.finer_first else [x, finer], 1))
        return x


def levels_of(backbone: Features, strides: Sequence[int]) -> tuple[int, ...]:
    """The places of a backbone's first maps at ``strides``; ``UserError`` where it has none or they do not descend.

    The deepest map is none of them: it goes to the pyramid.
    """
    if not strides or list(strides) != sorted(set(strides), reverse=True):
        raise UserError(
            f"the decoder is refined by maps at strides {_listed(strides) or 'none'}; expected one or more, the "
            "coarsest first, such as 8, 4"
        )
    found = backbone.strides[:-1]
    if any(stride not in found for stride in strides):
        raise UserError(
            f"the decoder wants finer maps at strides {_listed(strides)}; this backbone has maps at "
            f"{_listed(backbone.strides)}, the last for the pyramid; choose among the others or another output stride"
        )
    return tuple(found.index(stride) for stride in strides)


def strides_to_4(count: int) -> tuple[int, ...]:
    """The strides of ``count`` maps, each half of the one before, the last at 4."""
    return tuple(4 * 2**level for level in reversed(range(count)))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
