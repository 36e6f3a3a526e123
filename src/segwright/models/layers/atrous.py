"""Convolutions with holes (atrous, dilated) whose taps lie far apart."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class AtrousConv2d(nn.Conv2d):
    """A dilated 3x3 convolution that keeps the size and, in training on a CPU, multiplies no zeros around the map.

    Of nine taps at rate r, (3h - 2r)(3w - 2r) / 9hw meet a map of h x w: a sixth at rate 36 on 40x40. CPU kernels
    leave the others out in inference, but not in their gradients. Where it pays, the sum over the taps is therefore
    taken by nine 1x1 convolutions, each of the part of the map that its tap meets.
    """

    def __init__(self, inputs: int, outputs: int, rate: int, *, bias: bool = False) -> None:
        super().__init__(inputs, outputs, 3, padding=rate, dilation=rate, bias=bias)

    def forward(self, x: Float[Tensor, "images c h w"]) -> Float[Tensor, "images d h w"]:
        """The convolution."""
        height, width = x.shape[2:]
        rate = self.dilation[0]
        seen = max(3 * height - 2 * rate, height) * max(3 * width - 2 * rate, width)
        if x.device.type == "cpu" and torch.is_grad_enabled() and seen < 0.7 * 9 * height * width:
            return self._by_taps(x)
        return super().forward(x)

    def _by_taps(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        rate = self.dilation[0]
        taps = [tap[:, :, None, None] for tap in self.weight.flatten(2).unbind(2)]
        total = F.conv2d(x, taps[4], self.bias)
        for index, tap in enumerate(taps):
            down, right = (index // 3 - 1) * rate, (index % 3 - 1) * rate
            if index == 4 or abs(down) >= height or abs(right) >= width:
                continue
            part = F.conv2d(x[:, :, _inside(down, height), _inside(right, width)], tap)
            total[:, :, _inside(-down, height), _inside(-right, width)] += part
        return total


def _inside(shift: int, length: int) -> slice:
    """The places of a line that are on it still, seen from ``shift`` places before."""
    return slice(max(0, shift), length + min(0, shift))
