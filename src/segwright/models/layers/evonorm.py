"""EvoNorm (Liu et al. 2020): norm and activation in one formula, found by search."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.layers.norm_config import Norm, moments, one_value


class _EvoNorm(nn.Module):
    """Parameters and keys of S4: gamma, beta, v and running_var, each [1, C, 1, 1]."""

    running_var: Tensor

    def __init__(self, norm: Norm, channels: int) -> None:
        super().__init__()
        self.norm, self.eps = norm, norm.eps or 1e-5
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.v = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.register_buffer("running_var", torch.ones(1, channels, 1, 1))

    def forward(
        self, x: Float[Tensor, "images channels height width"], residual: Tensor | None = None
    ) -> Float[Tensor, "images channels height width"]:
        """The norm in float32 or finer, in the type of ``x``; no activation follows, nor after ``residual``."""
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        y = (self.normal(wide) * self.gamma + self.beta).to(x.dtype)
        return y if residual is None else y + residual

    def normal(self, x: Tensor) -> Tensor:
        """``x`` activated and divided by its deviation."""
        raise NotImplementedError


class EvoNormS0(_EvoNorm):
    """x sigmoid(v x) / deviation of its group of channels, unbiased as in S4; independent of the batch.

    ``running_var`` is S4's key and not used. A group of one value is not divided.
    """

    def normal(self, x: Tensor) -> Tensor:
        """See the class."""
        images, channels, height, width = x.shape
        grouped = x.reshape(images, math.gcd(self.norm.groups, channels), -1)
        if grouped.shape[2] == 1:
            return x * torch.sigmoid(self.v * x)
        deviation = (grouped.var(2, keepdim=True) + self.eps).sqrt()
        spread = deviation.expand_as(grouped).reshape(images, channels, height, width)
        return x * torch.sigmoid(self.v * x) / spread


class EvoNormB0(_EvoNorm):
    """x / max(deviation of the batch, v x + deviation of the instance), all variances biased.

    In evaluation the running variance stands for the batch's; over all processes after ``make_global``.
    """

    def __init__(self, norm: Norm, channels: int) -> None:
        super().__init__(norm, channels)
        self.momentum = 0.1 if norm.momentum is None else norm.momentum
        self.across = False

    def normal(self, x: Tensor) -> Tensor:
        """See the class."""
        variance = self.running_var
        if self.training and not one_value(x, across=self.across):
            _, own, _ = moments(x, across=self.across)
            variance = own.view(1, -1, 1, 1)
            self.running_var.lerp_(variance.detach().to(self.running_var.dtype), self.momentum)
        instance = (x.var((2, 3), correction=0, keepdim=True) + self.eps).sqrt()
        return x / torch.maximum((variance + self.eps).sqrt(), self.v * x + instance)
