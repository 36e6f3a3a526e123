"""Pyramid pooling (Zhao et al. 2017): the picture as a whole, in halves, thirds and sixths, beside every pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.layers.conv import conv_norm
from segwright.models.layers.norm import Norm
from segwright.models.layers.resize import enlarge


class PyramidPooling(nn.Module):
    """[N, C, H, W] -> [N, C + width * len(grids), H, W].

    ``align_corners``: S1 True, S2 False. ``pools_first`` in the concatenation: S1; S2 puts the features first.
    ``resize_first``: S2's UPerNet enlarges the pooled maps before their convolution, all others after it.
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

    def forward(self, x: Float[Tensor, "images c h w"]) -> Float[Tensor, "images d h w"]:
        """The features beside their pooled and enlarged selves."""
        size = x.shape[2:]
        pooled = []
        for pool, stage in zip(self.pools, self.stages, strict=True):
            if self.resize_first:
                pooled.append(stage(enlarge(pool(x), size, align_corners=self.align_corners)))
            else:
                pooled.append(enlarge(stage(pool(x)), size, align_corners=self.align_corners))
        return torch.cat([*pooled, x] if self.pools_first else [x, *pooled], 1)
