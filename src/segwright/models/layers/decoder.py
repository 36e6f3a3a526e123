"""The decoder of DeepLabV3+ and Panoptic-DeepLab: ASPP, refined by finer feature maps of the backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from segwright.errors import UserError
from segwright.models.layers.aspp import ASPP, ASPPConfig
from segwright.models.layers.conv import conv_norm, separable_conv
from segwright.models.layers.features import Features
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import upsample

ATROUS_RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}
"""The dilation rates of ASPP for each output stride of the backbone."""


@dataclass(slots=True)
class ConvStack:
    """``count`` convolutions in a row.

    panoptic-deeplab uses one separable 5x5; DeepLabV3+ and Detectron2 use two 3x3, whose receptive field is as large.
    ``separable``: whether they are depthwise separable; ``kernel_size``: their kernel size.
    """

    kernel_size: int = 5
    count: int = 1
    separable: bool = True

    def build(self, channels: Sequence[int], norm: Norm) -> nn.Sequential:
        """The convolutions; ``channels``: of the input and of each output."""
        if self.kernel_size % 2 == 0 or self.count < 1:
            raise UserError(
                f"ConvStack(kernel_size={self.kernel_size}, count={self.count}); expected an odd kernel_size and a "
                "count of 1 or more"
            )
        conv = separable_conv if self.separable else conv_norm
        return nn.Sequential(*(conv(*pair, self.kernel_size, norm=norm) for pair in pairwise(channels)))


@dataclass(slots=True)
class DecoderBranch:
    """One decoder and the hidden convolutions of its heads.

    ``skip_channels``: channels of the finer feature maps after a 1x1 convolution, the coarsest first. ``channels``:
    channels of the decoder's feature maps, which are fused with these. ``hidden_channels``: channels of the last
    feature map before a prediction; 0: the prediction is a 1x1 convolution of the decoder's output.
    """

    aspp: ASPPConfig = field(default_factory=lambda: ASPPConfig(ATROUS_RATES[16], pooled="bare"))
    skip_channels: tuple[int, ...] = (64, 32)
    channels: int = 256
    hidden_channels: int = 256


class AtrousDecoder(nn.Module):
    """From the backbone's feature maps to one of ``branch.channels``, at the last of ``skip_strides``.

    ``skip_strides``: strides of the finer feature maps, the coarsest first. ``skip_first``: the order of concatenation.
    """

    def __init__(
        self,
        branch: DecoderBranch,
        backbone: Features,
        skip_strides: Sequence[int],
        norm: Norm,
        *,
        convs: ConvStack | None = None,
        align_corners: bool = True,
        skip_first: bool = False,
    ) -> None:
        super().__init__()
        self.levels = skip_levels(backbone, skip_strides)
        if len(branch.skip_channels) != len(self.levels):
            raise UserError(
                f"skip_channels has {len(branch.skip_channels)} entries ({_listed(branch.skip_channels)}) for feature "
                f"maps at strides {_listed(skip_strides)}; expected one per stride"
            )
        self.align_corners, self.skip_first = align_corners, skip_first
        convs = convs or ConvStack()
        self.aspp = ASPP(branch.aspp, backbone.channels[-1], norm, align_corners=align_corners)
        self.project, self.fuse = nn.ModuleList(), nn.ModuleList()
        channels = branch.aspp.out_channels
        for level, skip_channels in zip(self.levels, branch.skip_channels, strict=True):
            self.project.append(conv_norm(backbone.channels[level], skip_channels, norm=norm))
            self.fuse.append(convs.build([channels + skip_channels, *[branch.channels] * convs.count], norm))
            channels = branch.channels

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """[N, channels, H / stride, W / stride], stride the last of ``skip_strides``."""
        x: Tensor = self.aspp(maps[-1])
        for level, project, fuse in zip(self.levels, self.project, self.fuse, strict=True):
            skip = project(maps[level])
            x = upsample(x, skip.shape[2:], align_corners=self.align_corners)
            x = fuse(torch.cat([skip, x] if self.skip_first else [x, skip], 1))
        return x


def skip_levels(backbone: Features, skip_strides: Sequence[int]) -> tuple[int, ...]:
    """The indices of a backbone's first feature maps at ``skip_strides``.

    The deepest feature map is not among them: it goes to ASPP. ``UserError`` for a stride that the backbone does not
    have, and for strides that do not descend.
    """
    if not skip_strides or list(skip_strides) != sorted(set(skip_strides), reverse=True):
        raise UserError(
            f"skip_strides is {_listed(skip_strides) or 'empty'}; expected one or more strides, the coarsest first, "
            "such as 8, 4"
        )
    available = backbone.strides[:-1]
    if any(stride not in available for stride in skip_strides):
        raise UserError(
            f"skip_strides is {_listed(skip_strides)}; this backbone has feature maps at {_listed(backbone.strides)}, "
            "of which the last goes to ASPP; choose among the others, or another output_stride of the backbone"
        )
    return tuple(available.index(stride) for stride in skip_strides)


def strides_to_4(count: int) -> tuple[int, ...]:
    """``count`` strides, each half of the one before, the last 4."""
    return tuple(4 * 2**level for level in reversed(range(count)))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
