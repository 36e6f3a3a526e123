"""S1's activated batch norm (Rota Bulo et al. 2018) in pure PyTorch: one map in memory where others keep two.

Between two convolutions, batch norm and activation keep their input and their output for the backward pass,
though either gives the other. Here an activation that can be inverted (leaky, none) keeps the output alone.
Any other (ReLU), and any in half precision, whose digits do not suffice for the way back, keeps the input
alone; convolutions inside a model that went through ``recompute_activations`` then keep a note instead of their
input, from which it is computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from segwright.models.layers.norm_config import (
    Norm,
    activate,
    moments,
    one_value,
    several,
    sum_over_processes,
)


class InPlaceNorm2d(nn.BatchNorm2d):
    """Batch norm with scale |weight| + eps, then its activation (S1's InPlaceABN; eps 1e-5, momentum 0.1).

    The scale is the same in training and evaluation: w' = |w| + eps makes a plain batch norm of it. Nothing is
    written into the input, so it is safe wherever ``nn.BatchNorm2d`` is. The way back from an output loses
    digits where |bias| is much larger than the scale: the rounding of float32 times |bias| / scale. Over all
    processes after ``make_global``.
    """

    def __init__(self, norm: Norm, channels: int) -> None:
        momentum = 0.1 if norm.momentum is None else norm.momentum
        super().__init__(channels, eps=norm.eps or 1e-5, momentum=momentum)
        self.norm, self.across = norm, False

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """Normalize [N, C, H, W], add ``residual``, activate."""
        scale = self.weight.abs() + self.eps
        own = self.training and not one_value(input, across=self.across)
        global_ = own and self.across and several()
        if not global_ and (not torch.is_grad_enabled() or torch.compiler.is_compiling()):
            # Nothing is kept without gradients, and the compiler decides itself what it computes again.
            return activate(self._plain(input, scale, own), self.norm, residual)
        mean, invstd = self._statistics(input, own)
        norm = self.norm if residual is None else self.norm.then("identity")
        back = norm.activation in INVERTIBLE and input.dtype not in (torch.bfloat16, torch.float16)
        how = (back, own, global_, self.eps)
        out: Tensor = _NormActivate.apply(input, scale, self.bias, mean, invstd, norm, how)
        noting = _NOTING.get()
        if noting and not back:
            note(out, _again(norm), input, mean, invstd, scale, self.bias)
        if residual is None:
            return out
        return _add(out, residual, self.norm) if noting else activate(out, self.norm, residual)

    def _plain(self, input: Tensor, scale: Tensor, own: bool) -> Tensor:
        if own and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        running = (self.running_mean, self.running_var)
        return F.batch_norm(
            input, *running, scale, self.bias, training=own, momentum=self.momentum or 0.0, eps=self.eps
        )

    @torch.no_grad()
    def _statistics(self, input: Tensor, own: bool) -> tuple[Tensor, Tensor]:
        """Mean and 1 / deviation in use; those of the batch are also averaged into the running ones."""
        assert self.running_mean is not None and self.running_var is not None
        if not own:
            # Copies, as a later step may change the running values before this one's backward pass.
            return self.running_mean.clone(), (self.running_var + self.eps).rsqrt()
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked.add_(1)
        if not (self.across and several()):
            # Torch's own kernel: it averages the running values, too, and wants no second pass over the map.
            mean, variance = torch.ops.aten.batch_norm_update_stats(
                input, self.running_mean, self.running_var, self.momentum
            )
            return mean, (variance + self.eps).rsqrt()
        mean, variance, count = moments(input.float(), across=True)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), self.momentum)
        return mean, (variance + self.eps).rsqrt()


INVERTIBLE = ("identity", "leaky_relu")
"""Activations whose input follows from their output."""


class _NormActivate(torch.autograd.Function):
    """activation((x - mean) * invstd * scale + bias), keeping one map of ``x`` and the result."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *given: Any) -> Tensor:
        scale, bias, mean, invstd, norm, how = given
        y = activate(_normalize(x, mean, invstd, scale, bias), norm)
        kept = y if how[0] else x
        ctx.save_for_backward(kept, scale, bias, mean, invstd)
        ctx.norm, ctx.how = norm, how
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        kept, scale, bias, mean, invstd = ctx.saved_tensors
        norm, (back, *how) = ctx.norm, ctx.how
        if back:
            gradient, z = gradients[0], kept
            if norm.activation == "leaky_relu":
                gradient = torch.ops.aten.leaky_relu_backward(gradient, kept, norm.slope, True)
                z = F.leaky_relu(kept, 1 / norm.slope)
            # What torch's kernel takes for x with mean 0 and deviation 1 is x normalized: no detour by x itself.
            x = _normalize(z, bias, 1 / scale, torch.ones_like(scale), torch.zeros_like(bias))
            scale, mean, invstd = scale * invstd, torch.zeros_like(mean), torch.ones_like(invstd)
        else:
            x = kept
            gradient = gradients[0]
            if norm.activation != "identity":
                gradient = _through(norm, _normalize(x, mean, invstd, scale, bias), gradient)
        parts = _norm_gradients(gradient, x, (scale, mean, invstd), how)
        return *parts, None, None, None, None


def _norm_gradients(
    gradient: Tensor, x: Tensor, constants: tuple[Tensor, Tensor, Tensor], how: Sequence[Any]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of (x - mean) * invstd * scale + bias to x, scale and bias."""
    scale, mean, invstd = constants
    own, across, eps = how
    if own and not across:
        parts: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.native_batch_norm_backward(
            gradient, x, scale, None, None, mean, invstd, True, eps, [True, True, True]
        )
        return parts
    wide, column = torch.promote_types(x.dtype, torch.float32), (1, -1, 1, 1)
    flow = gradient.to(wide)
    normal = (x.to(wide) - mean.view(column)) * invstd.view(column)
    to_bias, to_scale = flow.sum((0, 2, 3)), (flow * normal).sum((0, 2, 3))
    if own:
        count = to_bias.new_full((1,), x.numel() / x.shape[1])
        total = sum_over_processes(torch.cat([to_bias, to_scale, count]))
        both, all_normal = (total[:-1] / total[-1]).view(2, *column).unbind()
        flow = flow - both - normal * all_normal
    return (flow * (scale * invstd).view(column)).to(x.dtype), to_scale, to_bias


def _normalize(x: Tensor, mean: Tensor, invstd: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """(x - mean) * invstd * scale + bias by torch's kernel, in the type of ``x``; more precise than it inside."""
    return F.batch_norm(x, mean, invstd.pow(-2), scale, bias, training=False, eps=0.0)


def _through(norm: Norm, z: Tensor, gradient: Tensor) -> Tensor:
    """The gradient behind the activation at ``z``."""
    if norm.activation == "identity":
        return gradient
    if norm.activation == "relu":
        return torch.ops.aten.threshold_backward(gradient, z, 0)  # type: ignore[no-any-return]
    if norm.activation == "leaky_relu":
        return torch.ops.aten.leaky_relu_backward(gradient, z, norm.slope, False)  # type: ignore[no-any-return]
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        return torch.autograd.grad(activate(leaf.view_as(leaf), norm, inplace=False), leaf, gradient)[0]


class _AddActivate(torch.autograd.Function):
    """activation(z + residual) that keeps both, which others keep anyway, and not the result."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, residual: Tensor, norm: Norm) -> Tensor:
        ctx.save_for_backward(z, residual)
        ctx.norm = norm
        return activate(z, norm, residual)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        z, residual = ctx.saved_tensors
        flow = _through(ctx.norm, z + residual, gradients[0])
        return flow.to(z.dtype), flow.to(residual.dtype), None


CHAIN = 3
"""How many sums of residual blocks are computed again in a row, each from the one before, to get one of them."""


def _add(z: Tensor, residual: Tensor, norm: Norm) -> Tensor:
    """activation(z + residual), which can be computed again, but for one after ``CHAIN`` such sums."""
    before = _noted(residual)
    depth = 1 + (before.depth if before is not None else 0)
    if depth > CHAIN:
        return activate(z, norm, residual)
    out: Tensor = _AddActivate.apply(z, residual, norm)
    note(out, lambda a, b: activate(a, norm, b), z, residual, depth=depth)
    return out


def _again(norm: Norm) -> Callable[..., Tensor]:
    return lambda *parts: activate(_normalize(*parts), norm)


@dataclass(frozen=True, slots=True)
class _Note:
    """How a map is computed again: by ``function`` from ``parts``, which are kept anyway, or notes themselves."""

    function: Callable[..., Tensor]
    parts: tuple[Kept, ...]
    depth: int
    own: int


Kept = _Note | tuple[Tensor, int]


def note(out: Tensor, function: Callable[..., Tensor], *parts: Tensor, depth: int = 0) -> None:
    """Remember on ``out`` that ``function(*parts)`` gives it again, by a chain of ``depth`` sums."""
    kept = tuple(_keep(part) for part in parts)
    out._segwright_note = _Note(function, kept, depth, out._version)  # type: ignore[attr-defined]


def _noted(tensor: Tensor) -> _Note | None:
    found: _Note | None = getattr(tensor, "_segwright_note", None)
    return found if found is not None and found.own == tensor._version else None


def _keep(tensor: Tensor) -> Kept:
    return _noted(tensor) or (tensor.detach(), tensor._version)


@torch.no_grad()
def _give(kept: Kept) -> Tensor:
    if isinstance(kept, _Note):
        return kept.function(*(_give(part) for part in kept.parts))
    tensor, version = kept
    if tensor._version != version:
        # Autograd leaves this check to whoever looks at what it keeps.
        raise RuntimeError("a map needed for the gradient was modified by an in-place operation")
    return tensor


def recompute_activations(model: nn.Module) -> nn.Module:
    """Make ``model``, in place, keep notes instead of maps that its in-place norms can compute again.

    Values and gradients stay those without it, but for the last digit of maps computed again. With ReLU this is
    where the memory is spared; without an in-place norm in the model nothing happens.
    """
    if any(isinstance(module, InPlaceNorm2d) for module in model.modules()):
        notes = _Notes()
        model.register_forward_pre_hook(notes.begin)
        model.register_forward_hook(notes.end, always_call=True)
    return model


_NOTING: ContextVar[bool] = ContextVar("segwright_noting", default=False)


class _Notes:
    """The time of one forward pass, in which what autograd keeps is looked at."""

    def __init__(self) -> None:
        self.open: AbstractContextManager[Any] | None = None

    def begin(self, module: nn.Module, _: Any) -> None:
        if torch.is_grad_enabled() and not torch.compiler.is_compiling() and self.open is None:
            self.open = saved_tensors_hooks(_keep, _give)
            self.open.__enter__()
            _NOTING.set(True)

    def end(self, module: nn.Module, _: Any, __: Any) -> None:
        if self.open is not None:
            self.open.__exit__(None, None, None)
            self.open = None
            _NOTING.set(False)
