"""The config of a norm and its activation; batch statistics over all processes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

NormKind = Literal[
    "batch", "inplace", "instance", "group", "evonorm_s0", "evonorm_b0", "csail_syncbn", "none"
]
Activation = Literal["identity", "relu", "relu6", "leaky_relu", "silu", "gelu"]


@dataclass(frozen=True, slots=True)
class Norm:
    """A norm and the activation that follows it; ``norm_layer`` builds the module.

    ``kind``, the norm, is one of these:

    - ``batch``: batch norm; synchronized over all processes after ``synchronize_norms``.
    - ``inplace``: batch norm with scale |w| + eps and less memory for the backward pass (the toolbox's InPlaceABN).
    - ``instance`` (without parameters) and ``group``: instance and group norm.
    - ``evonorm_s0``, ``evonorm_b0``: EvoNorm; it contains the activation, so ``activation`` is not applied.
    - ``csail_syncbn``: CSAIL's synchronized batch norm, with a lower bound for the variance and debiased averages.
    - ``none``: the activation alone.

    ``eps`` and ``momentum`` (the weight of the new batch) None: the default of the kind. ``slope``: negative slope of
    leaky_relu. ``groups``: number of groups of group norm and EvoNorm-S0; where it does not divide the channels, their
    greatest common divisor.
    """

    kind: NormKind = "batch"
    activation: Activation = "relu"
    eps: float | None = None
    momentum: float | None = None
    slope: float = 0.01
    groups: int = 32

    def then(self, activation: Activation) -> Norm:
        """The same norm with another activation."""
        return replace(self, activation=activation)


def activate(x: Tensor, norm: Norm, residual: Tensor | None = None, *, inplace: bool = True) -> Tensor:
    """The activation of ``norm`` on ``x`` (+ ``residual``); ``inplace``: may write into ``x``."""
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
    """The sum over processes; its gradient is the sum of the gradients of all processes."""

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


def is_distributed() -> bool:
    """Whether training runs in more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum over processes, differentiable; with one process the values themselves."""
    return _SumOverProcesses.apply(values) if is_distributed() else values


def moments(values: Tensor, *, synchronized: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [C], biased variance [C] and number of values [] per channel of float feature maps [N, C, H, W].

    ``synchronized``: over all processes. Differentiable.
    """
    total = sum_over_processes if synchronized else _identity
    count = values.new_full((1,), values.numel() / values.shape[1])
    # First the mean, then squared deviations: mean square minus squared mean would cancel most digits of float32.
    sums = total(torch.cat([values.sum((0, 2, 3)), count]))
    mean, counted = sums[:-1] / sums[-1], sums[-1].detach()
    variance = total((values - mean.view(1, -1, 1, 1)).square().sum((0, 2, 3))) / counted
    return mean, variance, counted


def single_value(x: Tensor, *, synchronized: bool) -> bool:
    """Whether each channel of ``x`` has a single value, of which there is no variance."""
    return x.numel() == x.shape[1] and not (synchronized and is_distributed())


def _identity(values: Tensor) -> Tensor:
    return values
