"""Atrous spatial pyramid pooling (Chen et al. 2017, arXiv 1706.05587)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.models.layers.conv import conv_norm, dropout_layer, separable_conv
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.resize import upsample


@dataclass(slots=True)
class ASPPConfig:
    """A 1x1 branch, one dilated 3x3 branch per rate and image pooling, concatenated; then a projection and dropout.

    ``rates``: 12, 24, 36 at output stride 8, half of them at 16, a quarter at 32. ``channels`` of each branch,
    ``out_channels`` of the projection (toolbox: 512), whose kernel has ``projection_kernel_size`` (mmsegmentation: 3).
    ``pooled``: what follows the convolution of the pooled branch: a norm, a bias (Detectron2) or nothing ("bare":
    panoptic-deeplab). ``pooled_first``: the order of concatenation. ``pooling_window``: in a feature map that is
    larger, pool over windows of so many rows and columns, the size of the feature map in training, instead of all of it
    (Detectron2; panoptic-deeplab in multi-scale inference). ``dropout`` after the projection: 0.1 in the toolbox;
    ``spatial_dropout``: it drops whole channels, as there. ``separable``: depthwise separable dilated convolutions.
    """

    rates: tuple[int, ...] = (12, 24, 36)
    channels: int = 256
    out_channels: int = 256
    projection_kernel_size: int = 1
    dropout: float = 0.5
    spatial_dropout: bool = False
    pooled: Literal["norm", "bare", "bias"] = "norm"
    pooled_first: bool = False  # toolbox: True
    separable: bool = False
    pooling_window: tuple[int, int] | None = None


class ASPP(nn.Module):
    """[N, in_channels, H, W] -> [N, out_channels, H, W]; ``align_corners`` matters only with a ``pooling_window``."""

    def __init__(
        self, config: ASPPConfig, in_channels: int, norm: Norm, *, align_corners: bool = False
    ) -> None:
        super().__init__()
        channels = config.channels
        self.pooled_first, self.pooling_window = config.pooled_first, config.pooling_window
        self.align_corners = align_corners
        conv = separable_conv if config.separable else conv_norm
        self.branches = nn.ModuleList([conv_norm(in_channels, channels, norm=norm)])
        self.branches.extend(
            conv(in_channels, channels, 3, norm=norm, dilation=rate) for rate in config.rates
        )
        self.pooled = (
            conv_norm(in_channels, channels, norm=norm)
            if config.pooled == "norm"
            else nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, bias=config.pooled == "bias"), nn.ReLU(inplace=True)
            )
        )
        concatenated = channels * (len(config.rates) + 2)
        self.project = conv_norm(concatenated, config.out_channels, config.projection_kernel_size, norm=norm)
        self.dropout = dropout_layer(config.dropout, spatial=config.spatial_dropout)

    def forward(self, x: Float[Tensor, "images c h w"]) -> Float[Tensor, "images d h w"]:
        """Features with context at several scales, at the size of ``x``."""
        pooled = self._pooled(x)
        branches = [branch(x) for branch in self.branches]
        ordered = [pooled, *branches] if self.pooled_first else [*branches, pooled]
        features: Tensor = self.dropout(self.project(torch.cat(ordered, 1)))
        return features

    def _pooled(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        largest = self.pooling_window or size
        window = [min(pair) for pair in zip(size, largest, strict=True)]
        if tuple(window) == tuple(size):
            pooled: Tensor = self.pooled(x.mean((2, 3), keepdim=True))
            return pooled.expand(-1, -1, *size)
        return upsample(self.pooled(F.avg_pool2d(x, window, 1)), size, align_corners=self.align_corners)
