"""The batch norm of S2: clamped variance in training, running averages without the bias of their beginning."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.models.layers.norm_config import Norm, activate, moments, one_value


class DebiasedBatchNorm2d(nn.BatchNorm2d):
    """1 / sqrt(max(variance, eps)) in training, as S2 computed on several GPUs; sqrt(variance + eps) else.

    The running values are sum / weight, both decayed by 1 - momentum (S2's default 0.001) and both begun
    with the initial value at weight 1. That weight is a function of ``num_batches_tracked`` alone, so the keys
    are those of ``nn.BatchNorm2d`` and S2's three further buffers are not needed. Over all processes after
    ``make_global``.
    """

    def __init__(self, norm: Norm, channels: int) -> None:
        momentum = 0.001 if norm.momentum is None else norm.momentum
        super().__init__(channels, eps=norm.eps or 1e-5, momentum=momentum)
        self.norm, self.across = norm, False

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """Normalize [N, C, H, W], add ``residual``, activate."""
        if not self.training or one_value(input, across=self.across):
            scale = (self.running_mean, self.running_var, self.weight, self.bias)
            return activate(F.batch_norm(input, *scale, training=False, eps=self.eps), self.norm, residual)
        values = input.float() if input.dtype in (torch.bfloat16, torch.float16) else input
        mean, variance, count = moments(values, across=self.across)
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
        # weight(n) = q weight(n - 1) + 1 from weight(0) = 1, of which the new batch is 1.
        share = (1 / (decayed + (1 - decayed) / self.momentum)).to(mean.dtype)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)
        self.num_batches_tracked += 1
