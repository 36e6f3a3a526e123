"""What a norm is, its activation, and its statistics over all processes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

Kind = Literal["batch", "inplace", "instance", "group", "evonorm_s0", "evonorm_b0", "s2_syncbn", "none"]
Activation = Literal["identity", "relu", "relu6", "leaky_relu", "silu", "gelu"]


@dataclass(frozen=True, slots=True)
class Norm:
    """Which norm, and the activation that follows it; ``norm_layer`` builds it.

    ``batch`` (S2 to S5), over all processes after ``make_global``; ``inplace``: S1's scale |w| + eps and
    recomputation instead of memory; ``instance`` without parameters and ``group`` (S4); ``evonorm_s0`` and
    ``evonorm_b0`` (Liu et al. 2020, S4), which are activations themselves, so that ``activation`` is not
    applied; ``s2_syncbn``: S2's clamp and debiased averages; ``none``: the activation alone. ``eps`` and
    ``momentum`` (the weight of the new batch) are the kind's own if None; ``slope`` is that of leaky_relu;
    ``groups`` is lowered to a divisor of the channels.
    """

    kind: Kind = "batch"
    activation: Activation = "relu"
    eps: float | None = None
    momentum: float | None = None
    slope: float = 0.01
    groups: int = 32

    def then(self, activation: Activation) -> Norm:
        """The same norm with another activation."""
        return replace(self, activation=activation)


def activate(x: Tensor, norm: Norm, residual: Tensor | None = None, *, inplace: bool = True) -> Tensor:
    """The activation of ``norm`` on ``x`` (+ ``residual``), ``inplace`` where autograd allows it."""
    if residual is not None:
        x, inplace = x + residual, True
    if norm.activation == "relu":
        return F.relu(x, inplace=inplace)
    if norm.activation == "leaky_relu":
        return F.leaky_relu(x, norm.slope, inplace=inplace)
    if norm.activation == "relu6":
        return F.relu6(x, inplace=inplace)
    if norm.activation == "silu":
        return F.silu(x)
    return F.gelu(x) if norm.activation == "gelu" else x


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


def several() -> bool:
    """Whether more than one process takes part."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum over processes, differentiable; alone the values themselves."""
    return _SumOverProcesses.apply(values) if several() else values


def moments(values: Tensor, *, across: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [C], biased variance [C] and count [] a channel of float maps [N, C, H, W].

    Over all processes if ``across``; differentiable.
    """
    total = sum_over_processes if across else _alone
    count = values.new_full((1,), values.numel() / values.shape[1])
    # The mean first: sum of squares minus squared mean would lose what float32 has left.
    sums = total(torch.cat([values.sum((0, 2, 3)), count]))
    mean, counted = sums[:-1] / sums[-1], sums[-1].detach()
    variance = total((values - mean.view(1, -1, 1, 1)).square().sum((0, 2, 3))) / counted
    return mean, variance, counted


def one_value(x: Tensor, *, across: bool) -> bool:
    """Whether a channel of ``x`` has one value only, so that it has no statistics of its own."""
    return x.numel() == x.shape[1] and not (across and several())


def _alone(values: Tensor) -> Tensor:
    return values
