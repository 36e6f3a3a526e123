"""Batch norm over all processes, on GPU and CPU; alone it is plain batch norm."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _SumOverProcesses(torch.autograd.Function):
    """The sum over processes; the gradient of a sum is the sum of the gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` with the statistics of all processes, of any batch sizes; same keys, same numbers."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize [N, C, H, W]; in evaluation or alone exactly as ``nn.BatchNorm2d``."""
        if not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(input)
        values = input.float()
        count = values.new_full((1,), values.numel() / values.shape[1])
        # The mean first: sum of squares minus squared mean would lose what float32 has left.
        total = _sum(torch.cat([values.sum((0, 2, 3)), count]))
        mean = total[:-1] / total[-1]
        centered = values - mean.view(1, -1, 1, 1)
        variance = _sum(centered.square().sum((0, 2, 3))) / total[-1]
        self._track(mean.detach(), variance.detach(), float(total[-1]))
        normal = centered * torch.rsqrt(variance + self.eps).view(1, -1, 1, 1)
        if self.affine:
            normal = normal * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        return normal.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: float) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), share)


class _GlobalBatchNormAct2d(GlobalBatchNorm2d):
    """The same for timm's batch norm that carries its activation."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        """Normalize and activate."""
        return self.act(self.drop(super().forward(input)))  # type: ignore[no-any-return]


def make_global(model: nn.Module) -> nn.Module:
    """Turn every batch norm of the model, in place, into one over all processes; its keys stay."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GlobalBatchNorm2d
        elif type(module).__name__ == "BatchNormAct2d" and isinstance(module, nn.BatchNorm2d):
            module.__class__ = _GlobalBatchNormAct2d
    return model


def _sum(values: Tensor) -> Tensor:
    return _SumOverProcesses.apply(values)  # type: ignore[no-any-return]
