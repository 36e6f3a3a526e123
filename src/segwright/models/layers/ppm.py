"""The pyramid pooling module (Zhao et al. 2017): global context at several pool sizes, concatenated to the features."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.layers.conv import conv_norm
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import upsample


class PyramidPooling(nn.Module):
    """[N, in_channels, H, W] -> a list of ``x`` and one pooled feature map [N, channels, size, size] per pool size.

    The attribute ``channels`` is the sum of their channels. ``pooled_first``: the order of the list; True in the
    toolbox, False in CSAIL. ``resize_before_conv``: upsample the pooled feature maps to the size of ``x`` before their
    convolution, as CSAIL's UPerNet does; ``align_corners`` applies to that.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        pool_sizes: Sequence[int],
        *,
        norm: Norm,
        align_corners: bool = False,
        pooled_first: bool = False,
        resize_before_conv: bool = False,
    ) -> None:
        super().__init__()
        self.align_corners, self.pooled_first = align_corners, pooled_first
        self.resize_before_conv = resize_before_conv
        self.pools = nn.ModuleList(nn.AdaptiveAvgPool2d(size) for size in pool_sizes)
        self.stages = nn.ModuleList(conv_norm(in_channels, channels, norm=norm) for _ in pool_sizes)
        self.channels = in_channels + channels * len(pool_sizes)

    def forward(self, x: Float[Tensor, "images c h w"]) -> list[Tensor]:
        """The feature maps in the order of concatenation."""
        maps = []
        for pool, stage in zip(self.pools, self.stages, strict=True):
            pooled = pool(x)
            if self.resize_before_conv:
                pooled = upsample(pooled, x.shape[2:], align_corners=self.align_corners)
            maps.append(stage(pooled))
        return [*maps, x] if self.pooled_first else [x, *maps]
