"""The synchronized batch norm of CSAIL: a lower bound for the variance in training, and debiased running averages."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.models.layers.norm_config import Norm, activate, moments, single_value


class DebiasedBatchNorm2d(nn.BatchNorm2d):
    """Divides by sqrt(max(variance, eps)) in training, as CSAIL did on several GPUs; else by sqrt(variance + eps).

    A running value is sum / weight. Both decay by 1 - momentum (CSAIL's default: 0.001) and start with the initial
    value at weight 1. The weight is a function of ``num_batches_tracked`` alone, so the state dict has the keys of
    ``nn.BatchNorm2d``, and CSAIL's three further buffers are not needed. After ``synchronize_norms`` the statistics
    are those of all processes.
    """

    def __init__(self, norm: Norm, channels: int) -> None:
        momentum = 0.001 if norm.momentum is None else norm.momentum
        super().__init__(channels, eps=norm.eps or 1e-5, momentum=momentum)
        self.norm, self.synchronized = norm, False

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """Normalize [N, C, H, W], add ``residual``, activate."""
        if not self.training or single_value(input, synchronized=self.synchronized):
            scale = (self.running_mean, self.running_var, self.weight, self.bias)
            return activate(F.batch_norm(input, *scale, training=False, eps=self.eps), self.norm, residual)
        values = input.float() if input.dtype in (torch.bfloat16, torch.float16) else input
        mean, variance, count = moments(values, synchronized=self.synchronized)
        self._average(mean.detach(), (variance * (count / (count - 1).clamp(min=1))).detach())
        scale_ = self.weight * variance.clamp(min=self.eps).rsqrt()
        shift = self.bias - mean * scale_
        normal = torch.addcmul(shift.view(1, -1, 1, 1), values, scale_.view(1, -1, 1, 1))
        return activate(normal.to(input.dtype), self.norm, residual)

    @torch.no_grad()
    def _average(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        decayed = (1 - self.momentum) ** (self.num_batches_tracked.double() + 1)
        # weight(n) = (1 - momentum) weight(n - 1) + 1, weight(0) = 1; the new batch has weight 1 in it.
        fraction = (1 / (decayed + (1 - decayed) / self.momentum)).to(mean.dtype)
        self.running_mean.lerp_(mean, fraction)
        self.running_var.lerp_(variance, fraction)
        self.num_batches_tracked += 1
