"""Atrous spatial pyramid pooling (Chen et al. 2017, arXiv 1706.05587)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.models.layers.conv import conv_norm, dropout, separable_conv
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import upsample


@dataclass(slots=True)
class ASPPConfig:
    """A 1x1 branch, one 3x3 branch per rate, the pooled image; then a 1x1 projection and dropout.

    Rates 12, 24, 36 belong to output stride 8, half of them to 16, a quarter to 32. ``window``: the pooled branch
    sees that many rows and columns of the map around a place, the size of the map in training, where a map is
    larger; not all of it (Detectron2; S5 with several scales).
    """

    rates: tuple[int, ...] = (12, 24, 36)
    width: int = 256
    projected: int = 256  # S1: 512
    projection: int = 1  # the side of its kernel; mmsegmentation: 3
    dropout: float = 0.5  # S1: 0.1 of whole maps
    whole_maps: bool = False
    pooled: Literal["norm", "bare", "bias"] = (
        "norm"  # S5: no norm in the pooled branch; Detectron2: but a bias
    )
    pool_first: bool = False  # S1 concatenates the pooled branch first, the others last
    separable: bool = False
    window: tuple[int, int] | None = None


class ASPP(nn.Module):
    """[N, C, H, W] -> [N, projected, H, W]; ``align_corners`` matters with a ``window`` alone."""

    def __init__(self, config: ASPPConfig, inputs: int, norm: Norm, *, align_corners: bool = False) -> None:
        super().__init__()
        width = config.width
        self.pool_first, self.window, self.align_corners = config.pool_first, config.window, align_corners
        atrous = separable_conv if config.separable else conv_norm
        self.branches = nn.ModuleList([conv_norm(inputs, width, norm=norm)])
        self.branches.extend(atrous(inputs, width, 3, norm=norm, dilation=rate) for rate in config.rates)
        self.pooled = (
            conv_norm(inputs, width, norm=norm)
            if config.pooled == "norm"
            else nn.Sequential(
                nn.Conv2d(inputs, width, 1, bias=config.pooled == "bias"), nn.ReLU(inplace=True)
            )
        )
        stacked = width * (len(config.rates) + 2)
        self.project = conv_norm(stacked, config.projected, config.projection, norm=norm)
        self.dropout = dropout(config.dropout, whole_maps=config.whole_maps)

    def forward(self, x: Float[Tensor, "images c h w"]) -> Float[Tensor, "images d h w"]:
        """Context of several sizes around every pixel."""
        pooled = self._pooled(x)
        branches = [branch(x) for branch in self.branches]
        ordered = [pooled, *branches] if self.pool_first else [*branches, pooled]
        projected: Tensor = self.dropout(self.project(torch.cat(ordered, 1)))
        return projected

    def _pooled(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        window = size if self.window is None else [min(pair) for pair in zip(size, self.window, strict=True)]
        if tuple(window) == tuple(size):
            everything: Tensor = self.pooled(x.mean((2, 3), keepdim=True))
            return everything.expand(-1, -1, *size)
        return upsample(self.pooled(F.avg_pool2d(x, window, 1)), size, align_corners=self.align_corners)
