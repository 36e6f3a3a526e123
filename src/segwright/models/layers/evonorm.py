"""EvoNorm (Liu et al. 2020, arXiv 2004.02967): norm and activation in one formula, found by architecture search."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.layers.norm_config import Norm, moments, single_value


class _EvoNorm(nn.Module):
    """Parameters and keys as in the MiniCity tutorial: gamma, beta, v and running_var, each [1, C, 1, 1]."""

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
        """The norm, plus ``residual``, in the dtype of ``x``; computed in float32 or better. No activation follows."""
        precise = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        y = (self.normalize(precise) * self.gamma + self.beta).to(x.dtype)
        return y if residual is None else y + residual

    def normalize(self, x: Tensor) -> Tensor:
        """``x`` activated and divided by its standard deviation."""
        raise NotImplementedError


class EvoNormS0(_EvoNorm):
    """x sigmoid(v x) / standard deviation of the group of channels; independent of the batch.

    The variance is unbiased, as in the MiniCity tutorial. ``running_var`` is unused: the tutorial's files contain it. A
    group of a single value is not divided.
    """

    def normalize(self, x: Tensor) -> Tensor:
        """See the class."""
        images, channels, height, width = x.shape
        grouped = x.reshape(images, math.gcd(self.norm.groups, channels), -1)
        if grouped.shape[2] == 1:
            return x * torch.sigmoid(self.v * x)
        deviation = (grouped.var(2, keepdim=True) + self.eps).sqrt()
        divisor = deviation.expand_as(grouped).reshape(images, channels, height, width)
        return x * torch.sigmoid(self.v * x) / divisor


class EvoNormB0(_EvoNorm):
    """x / max(standard deviation of the batch, v x + standard deviation of the instance), all variances biased.

    Evaluation uses the running variance. After ``synchronize_norms`` the batch's is that of all processes.
    """

    def __init__(self, norm: Norm, channels: int) -> None:
        super().__init__(norm, channels)
        self.momentum = 0.1 if norm.momentum is None else norm.momentum
        self.synchronized = False

    def normalize(self, x: Tensor) -> Tensor:
        """See the class."""
        variance = self.running_var
        if self.training and not single_value(x, synchronized=self.synchronized):
            _, of_batch, _ = moments(x, synchronized=self.synchronized)
            variance = of_batch.view(1, -1, 1, 1)
            self.running_var.lerp_(variance.detach().to(self.running_var.dtype), self.momentum)
        instance = (x.var((2, 3), correction=0, keepdim=True) + self.eps).sqrt()
        return x / torch.maximum((variance + self.eps).sqrt(), self.v * x + instance)
