"""Pyramid pooling (Zhao et al. 2017): the picture as a whole, in halves, thirds and sixths, beside every pixel."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.layers.conv import conv_norm
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import upsample


class PyramidPooling(nn.Module):
    """[N, C, H, W] -> it and its pooled selves [N, width, grid, grid], for one layer to see together.

    ``channels`` of all of them. ``align_corners``: S1 True, S2 False. ``pools_first`` in the concatenation: S1; S2
    puts the features first. ``resize_first``: S2's UPerNet enlarges the pooled maps before their convolution.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        grids: Sequence[int],
        *,
        norm: Norm,
        align_corners: bool = False,
        pools_first: bool = False,
        resize_first: bool = False,
    ) -> None:
        super().__init__()
        self.align_corners, self.pools_first, self.resize_first = align_corners, pools_first, resize_first
        self.pools = nn.ModuleList(nn.AdaptiveAvgPool2d(grid) for grid in grids)
        self.stages = nn.ModuleList(conv_norm(inputs, width, norm=norm) for _ in grids)
        self.channels = inputs + width * len(grids)

    def forward(self, x: Float[Tensor, "images c h w"]) -> list[Tensor]:
        """The maps in the order in which they are concatenated."""
        pooled = []
        for pool, stage in zip(self.pools, self.stages, strict=True):
            each = pool(x)
            if self.resize_first:
                each = upsample(each, x.shape[2:], align_corners=self.align_corners)
            pooled.append(stage(each))
        return [*pooled, x] if self.pools_first else [x, *pooled]
