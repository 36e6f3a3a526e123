"""In-place activated batch norm (InPlace-ABN, Rota Bulo et al. 2018) in pure PyTorch: less memory in training.

Between two convolutions, batch norm and activation usually keep two feature maps for the backward pass: their input
and their output. Here they keep one. With an activation that can be inverted (leaky ReLU, identity) they keep the
output and compute the input from it. With any other activation (ReLU), and in half precision, which is not precise
enough for the inversion, they keep the input. In a model prepared by ``recompute_activations`` the next convolution
then stores a recipe for its input (``_Recomputation``) instead of the feature map itself.
"""

from __future__ import annotations

from collections.abc import Callable
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
    is_distributed,
    moments,
    single_value,
    sum_over_processes,
)


class InPlaceNorm2d(nn.BatchNorm2d):
    """Batch norm with scale |weight| + eps, then its activation (the toolbox's InPlaceABN; eps 1e-5, momentum 0.1).

    The scale is the same in training and evaluation, so with w' = |w| + eps this is a plain batch norm. The input is
    not written to, so the layer can replace ``nn.BatchNorm2d`` anywhere. The inversion loses precision where |bias|
    is much larger than the scale: its error is the rounding error of float32 times |bias| / scale. After
    ``synchronize_norms`` the statistics are those of all processes.
    """

    def __init__(self, norm: Norm, channels: int) -> None:
        momentum = 0.1 if norm.momentum is None else norm.momentum
        super().__init__(channels, eps=norm.eps or 1e-5, momentum=momentum)
        self.norm, self.synchronized = norm, False

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """Normalize [N, C, H, W], add ``residual``, activate."""
        scale = self.weight.abs() + self.eps
        from_batch = self.training and not single_value(input, synchronized=self.synchronized)
        synchronized = from_batch and self.synchronized and is_distributed()
        if not synchronized and (not torch.is_grad_enabled() or torch.compiler.is_compiling()):
            # Without gradients nothing is kept, and the compiler decides by its own rules what it recomputes.
            return activate(self._batch_norm(input, scale, from_batch), self.norm, residual)
        mean, invstd = self._statistics(input, from_batch)
        norm = self.norm if residual is None else self.norm.then("identity")
        invertible = norm.activation in INVERTIBLE and input.dtype not in (torch.bfloat16, torch.float16)
        mode = _Mode(norm, invertible, from_batch, synchronized, self.eps)
        output: Tensor = _NormActivate.apply(input, scale, self.bias, mean, invstd, mode)
        recomputing = _RECOMPUTING.get()
        if recomputing and not invertible:
            make_recomputable(output, _norm_activate(norm), input, mean, invstd, scale, self.bias)
        if residual is None:
            return output
        if recomputing:
            return _add(output, residual, self.norm)
        return activate(output, self.norm, residual)

    def _batch_norm(self, input: Tensor, scale: Tensor, from_batch: bool) -> Tensor:
        if from_batch and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        running = (self.running_mean, self.running_var)
        return F.batch_norm(
            input,
            *running,
            scale,
            self.bias,
            training=from_batch,
            momentum=self.momentum or 0.0,
            eps=self.eps,
        )

    @torch.no_grad()
    def _statistics(self, input: Tensor, from_batch: bool) -> tuple[Tensor, Tensor]:
        """Mean and 1 / standard deviation [C] to normalize with; those of the batch also update the running ones."""
        assert self.running_mean is not None and self.running_var is not None
        if not from_batch:
            # Copies, because a later forward pass may change the running values before this backward pass.
            return self.running_mean.clone(), (self.running_var + self.eps).rsqrt()
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked.add_(1)
        if not (self.synchronized and is_distributed()):
            # Torch's kernel also updates the running values, in a single pass over the feature map.
            mean, variance = torch.ops.aten.batch_norm_update_stats(
                input, self.running_mean, self.running_var, self.momentum
            )
            return mean, (variance + self.eps).rsqrt()
        mean, variance, count = moments(input.float(), synchronized=True)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), self.momentum)
        return mean, (variance + self.eps).rsqrt()


INVERTIBLE = ("identity", "leaky_relu")
"""Activations whose input can be computed from their output."""


@dataclass(frozen=True, slots=True)
class _Mode:
    """How one call normalizes. ``invertible``: the output is kept instead of the input.

    ``from_batch``: statistics of the batch, not the running ones; ``synchronized``: of all processes.
    """

    norm: Norm
    invertible: bool
    from_batch: bool
    synchronized: bool
    eps: float


class _NormActivate(torch.autograd.Function):
    """activation((x - mean) * invstd * scale + bias), which keeps either ``x`` or the result for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *arguments: Any) -> Tensor:
        scale, bias, mean, invstd, mode = arguments
        y = activate(_normalize(x, mean, invstd, scale, bias), mode.norm)
        ctx.save_for_backward(y if mode.invertible else x, scale, bias, mean, invstd)
        ctx.mode = mode
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        kept, scale, bias, mean, invstd = ctx.saved_tensors
        mode, gradient = ctx.mode, gradients[0]
        norm = mode.norm
        if mode.invertible:
            z = kept
            if norm.activation == "leaky_relu":
                gradient = torch.ops.aten.leaky_relu_backward(gradient, kept, norm.slope, True)
                z = F.leaky_relu(kept, 1 / norm.slope)
            # The normalized x: torch's kernel takes it as its x, with mean 0 and deviation 1.
            x = _normalize(z, bias, 1 / scale, torch.ones_like(scale), torch.zeros_like(bias))
            scale, mean, invstd = scale * invstd, torch.zeros_like(mean), torch.ones_like(invstd)
        else:
            x = kept
            if norm.activation != "identity":
                gradient = _activation_gradient(norm, _normalize(x, mean, invstd, scale, bias), gradient)
        return *_norm_gradients(gradient, x, (scale, mean, invstd), mode), None, None, None


def _norm_gradients(
    gradient: Tensor, x: Tensor, constants: tuple[Tensor, Tensor, Tensor], mode: _Mode
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients with respect to x, scale and bias of (x - mean) * invstd * scale + bias."""
    scale, mean, invstd = constants
    if mode.from_batch and not mode.synchronized:
        gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.native_batch_norm_backward(
            gradient, x, scale, None, None, mean, invstd, True, mode.eps, [True, True, True]
        )
        return gradients
    precise, column = torch.promote_types(x.dtype, torch.float32), (1, -1, 1, 1)
    flow = gradient.to(precise)
    normal = (x.to(precise) - mean.view(column)) * invstd.view(column)
    to_bias, to_scale = flow.sum((0, 2, 3)), (flow * normal).sum((0, 2, 3))
    if mode.from_batch:
        count = to_bias.new_full((1,), x.numel() / x.shape[1])
        total = sum_over_processes(torch.cat([to_bias, to_scale, count]))
        mean_flow, mean_product = (total[:-1] / total[-1]).view(2, *column).unbind()
        flow = flow - mean_flow - normal * mean_product
    return (flow * (scale * invstd).view(column)).to(x.dtype), to_scale, to_bias


def _normalize(x: Tensor, mean: Tensor, invstd: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """(x - mean) * invstd * scale + bias by torch's kernel, in the dtype of ``x``, computed at least in float32."""
    return F.batch_norm(x, mean, invstd.pow(-2), scale, bias, training=False, eps=0.0)


def _activation_gradient(norm: Norm, z: Tensor, gradient: Tensor) -> Tensor:
    """The gradient with respect to ``z`` of the activation of ``z``."""
    through: Tensor
    if norm.activation == "identity":
        return gradient
    if norm.activation == "relu":
        through = torch.ops.aten.threshold_backward(gradient, z, 0)
        return through
    if norm.activation == "leaky_relu":
        through = torch.ops.aten.leaky_relu_backward(gradient, z, norm.slope, False)
        return through
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        return torch.autograd.grad(activate(leaf.view_as(leaf), norm, inplace=False), leaf, gradient)[0]


class _AddActivate(torch.autograd.Function):
    """activation(z + residual), which keeps both inputs (other layers keep them as well) and not the result."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, residual: Tensor, norm: Norm) -> Tensor:
        ctx.save_for_backward(z, residual)
        ctx.norm = norm
        return activate(z, norm, residual)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        z, residual = ctx.saved_tensors
        flow = _activation_gradient(ctx.norm, z + residual, gradients[0])
        return flow.to(z.dtype), flow.to(residual.dtype), None


MAX_CHAIN = 3
"""How many sums of residual blocks are recomputed one from the other; each further one is kept."""


def _add(z: Tensor, residual: Tensor, norm: Norm) -> Tensor:
    """activation(z + residual), recomputable unless ``residual`` is the end of ``MAX_CHAIN`` recomputable sums."""
    before = _recomputation_of(residual)
    depth = 1 + (before.depth if before is not None else 0)
    if depth > MAX_CHAIN:
        return activate(z, norm, residual)
    output: Tensor = _AddActivate.apply(z, residual, norm)
    make_recomputable(output, lambda a, b: activate(a, norm, b), z, residual, depth=depth)
    return output


def _norm_activate(norm: Norm) -> Callable[..., Tensor]:
    return lambda *inputs: activate(_normalize(*inputs), norm)


@dataclass(frozen=True, slots=True)
class _Recomputation:
    """How a feature map is recomputed: by ``function`` from ``inputs``, which are kept or recomputable themselves.

    ``depth``: the number of sums in the chain. ``version``: of the tensor, to detect in-place changes.
    """

    function: Callable[..., Tensor]
    inputs: tuple[Kept, ...]
    depth: int
    version: int


Kept = _Recomputation | tuple[Tensor, int]


def make_recomputable(
    output: Tensor, function: Callable[..., Tensor], *inputs: Tensor, depth: int = 0
) -> None:
    """Store on ``output`` that it equals ``function(*inputs)``, the end of a chain of ``depth`` sums."""
    kept = tuple(_keep(tensor) for tensor in inputs)
    setattr(output, _ATTRIBUTE, _Recomputation(function, kept, depth, output._version))


_ATTRIBUTE = "_segwright_recomputation"


def _recomputation_of(tensor: Tensor) -> _Recomputation | None:
    recomputation: _Recomputation | None = getattr(tensor, _ATTRIBUTE, None)
    unchanged = recomputation is not None and recomputation.version == tensor._version
    return recomputation if unchanged else None


def _keep(tensor: Tensor) -> Kept:
    return _recomputation_of(tensor) or (tensor.detach(), tensor._version)


@torch.no_grad()
def _restore(kept: Kept) -> Tensor:
    if isinstance(kept, _Recomputation):
        return kept.function(*(_restore(tensor) for tensor in kept.inputs))
    tensor, version = kept
    if tensor._version != version:
        # With hooks on saved tensors, autograd does not check this.
        raise RuntimeError("a map needed for the gradient was modified by an in-place operation")
    return tensor


def recompute_activations(model: nn.Module) -> nn.Module:
    """Let the backward pass of ``model`` recompute the outputs of its in-place norms instead of keeping them.

    Changes ``model`` in place; without an in-place norm nothing changes. Outputs and gradients stay the same up to
    rounding of the recomputed feature maps. With ReLU, this is what saves the memory.
    """
    if any(isinstance(module, InPlaceNorm2d) for module in model.modules()):
        hooks = _ForwardHooks()
        model.register_forward_pre_hook(hooks.begin)
        model.register_forward_hook(hooks.end, always_call=True)
    return model


_RECOMPUTING: ContextVar[bool] = ContextVar("segwright_recomputing", default=False)


class _ForwardHooks:
    """Replace what autograd keeps during a forward pass of the model by ``_keep``."""

    def __init__(self) -> None:
        self.open: AbstractContextManager[Any] | None = None

    def begin(self, module: nn.Module, _: Any) -> None:
        if torch.is_grad_enabled() and not torch.compiler.is_compiling() and self.open is None:
            self.open = saved_tensors_hooks(_keep, _restore)
            self.open.__enter__()
            _RECOMPUTING.set(True)

    def end(self, module: nn.Module, _: Any, __: Any) -> None:
        if self.open is not None:
            self.open.__exit__(None, None, None)
            self.open = None
            _RECOMPUTING.set(False)
