"""Dilated (atrous) convolutions with large dilation rates."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class AtrousConv2d(nn.Conv2d):
    """A dilated 3x3 convolution that keeps the size and, in training on a CPU, skips products with the zero padding.

    At rate r on a feature map of h x w only a fraction (3h - 2r)(3w - 2r) / 9hw of the products are not with padding:
    0.16 at rate 36 on 40x40. CPU kernels skip the others in inference, but not in the backward pass. Where it is
    faster, the convolution is therefore computed as nine 1x1 convolutions, one per weight of the 3x3 kernel, each on
    the part of the feature map that this weight is multiplied with.
    """

    def __init__(self, in_channels: int, out_channels: int, rate: int, *, bias: bool = False) -> None:
        super().__init__(in_channels, out_channels, 3, padding=rate, dilation=rate, bias=bias)

    def forward(self, x: Float[Tensor, "images c h w"]) -> Float[Tensor, "images d h w"]:
        """The convolution of ``x``."""
        height, width = x.shape[2:]
        rate = self.dilation[0]
        used = max(3 * height - 2 * rate, height) * max(3 * width - 2 * rate, width)
        if x.device.type == "cpu" and torch.is_grad_enabled() and used < 0.7 * 9 * height * width:
            return self._sum_of_1x1(x)
        return super().forward(x)

    def _sum_of_1x1(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        rate = self.dilation[0]
        weights = [weight[:, :, None, None] for weight in self.weight.flatten(2).unbind(2)]
        total = F.conv2d(x, weights[4], self.bias)
        for index, weight in enumerate(weights):
            down, right = (index // 3 - 1) * rate, (index % 3 - 1) * rate
            if index == 4 or abs(down) >= height or abs(right) >= width:
                continue
            part = F.conv2d(x[:, :, _inside(down, height), _inside(right, width)], weight)
            total[:, :, _inside(-down, height), _inside(-right, width)] += part
        return total


def _inside(shift: int, length: int) -> slice:
    """The positions i + ``shift`` that are inside 0..``length`` - 1, for i in 0..``length`` - 1."""
    return slice(max(0, shift), length + min(0, shift))
