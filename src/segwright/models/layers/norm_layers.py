"""The norm layers, each with its activation; how to synchronize them over processes and how to freeze them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.models.layers.debiased import DebiasedBatchNorm2d
from segwright.models.layers.evonorm import EvoNormB0, EvoNormS0
from segwright.models.layers.inplace import InPlaceNorm2d
from segwright.models.layers.norm_config import (
    Norm,
    activate,
    is_distributed,
    single_value,
    sum_over_processes,
)


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """The module for ``norm``, on feature maps [N, ``channels``, H, W] of any float dtype.

    It is called as ``layer(x)`` or, at the end of a residual block, as ``layer(x, residual)``, which adds the residual
    before the activation. Keys of the state dict: those of ``nn.BatchNorm2d`` (batch, inplace, csail_syncbn), weight
    and bias (group), gamma, beta, v and running_var (evonorm), no keys (instance, none). A single value per channel
    (the pooled feature map of one image) is normalized by the running statistics and does not change them; an instance
    norm returns 0 for it.
    """
    layers: dict[str, Callable[[Norm, int], nn.Module]] = {
        "batch": ActivatedBatchNorm2d,
        "inplace": InPlaceNorm2d,
        "instance": ActivatedInstanceNorm2d,
        "group": ActivatedGroupNorm,
        "evonorm_s0": EvoNormS0,
        "evonorm_b0": EvoNormB0,
        "csail_syncbn": DebiasedBatchNorm2d,
        "none": ActivationOnly,
    }
    return layers[norm.kind](norm, channels)


class SynchronizedBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` with the statistics of all processes, whose batch sizes may differ; the same keys.

    Unlike ``nn.SyncBatchNorm`` it works on CPUs.
    """

    synchronized: bool = True

    def forward(self, input: Tensor) -> Tensor:
        """Normalize [N, C, H, W]; in evaluation and with one process exactly as ``nn.BatchNorm2d``."""
        if not self.training or not (self.synchronized and is_distributed()):
            single = single_value(input, synchronized=self.synchronized)
            if self.training and self.track_running_stats and single:
                scale = (self.running_mean, self.running_var, self.weight, self.bias)
                return F.batch_norm(input, *scale, training=False, eps=self.eps)
            return super().forward(input)
        values = input.float()
        count = values.new_full((1,), values.numel() / values.shape[1])
        # First the mean, then squared deviations: mean square minus squared mean would cancel most digits of float32.
        total = sum_over_processes(torch.cat([values.sum((0, 2, 3)), count]))
        mean = total[:-1] / total[-1]
        centered = values - mean.view(1, -1, 1, 1)
        variance = sum_over_processes(centered.square().sum((0, 2, 3))) / total[-1]
        self._track(mean.detach(), variance.detach(), total[-1].detach())
        normal = centered * torch.rsqrt(variance + self.eps).view(1, -1, 1, 1)
        if self.affine:
            normal = normal * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        return normal.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        fraction = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, fraction)
        self.running_var.lerp_(variance * (count / (count - 1).clamp(min=1)), fraction)


class _SynchronizedBatchNormAct2d(SynchronizedBatchNorm2d):
    """The same for timm's batch norm that contains its activation."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        """Normalize and activate."""
        activated: Tensor = self.act(self.drop(super().forward(input)))
        return activated


class ActivatedBatchNorm2d(SynchronizedBatchNorm2d):
    """Batch norm and activation; over all processes after ``synchronize_norms``."""

    def __init__(self, norm: Norm, channels: int) -> None:
        super().__init__(
            channels, eps=norm.eps or 1e-5, momentum=0.1 if norm.momentum is None else norm.momentum
        )
        self.norm, self.synchronized = norm, False

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """Normalize [N, C, H, W], add ``residual``, activate."""
        return activate(super().forward(input), self.norm, residual)


class ActivatedGroupNorm(nn.GroupNorm):
    """Group norm (Wu and He 2018) and activation; see ``Norm`` for the number of groups."""

    def __init__(self, norm: Norm, channels: int) -> None:
        super().__init__(math.gcd(norm.groups, channels), channels, eps=norm.eps or 1e-5)
        self.norm = norm

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """Normalize [N, C, H, W], add ``residual``, activate."""
        # nn.GroupNorm refuses one pixel of one image, although a group of channels has a variance.
        output = torch.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
        return activate(output, self.norm, residual)


class ActivatedInstanceNorm2d(nn.Module):
    """Instance norm (Ulyanov et al. 2016) without parameters, and activation; a feature map of one pixel gives 0."""

    def __init__(self, norm: Norm, channels: int) -> None:
        super().__init__()
        self.norm, self.channels = norm, channels

    def forward(
        self, input: Float[Tensor, "images channels height width"], residual: Tensor | None = None
    ) -> Float[Tensor, "images channels height width"]:
        """Normalize [N, C, H, W], add ``residual``, activate."""
        eps = self.norm.eps or 1e-5
        if input.shape[2] * input.shape[3] == 1:  # torch refuses it, although the formula gives 0
            return activate(input - input, self.norm, residual)
        return activate(F.instance_norm(input, eps=eps), self.norm, residual)

    def extra_repr(self) -> str:
        """The number of channels, for printing."""
        return str(self.channels)


class ActivationOnly(nn.Module):
    """No norm, only the activation."""

    def __init__(self, norm: Norm, channels: int) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """Add ``residual``, activate; ``input`` is not written to."""
        # The layer before may need its output for its gradient.
        return activate(input, self.norm, residual, inplace=False)


_SYNCHRONIZABLE = (SynchronizedBatchNorm2d, InPlaceNorm2d, DebiasedBatchNorm2d, EvoNormB0)


def synchronize_norms(model: nn.Module) -> nn.Module:
    """Synchronize every batch norm of ``model`` over all processes, in place; the keys of the state dict stay."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronizedBatchNorm2d
        elif type(module).__name__ == "BatchNormAct2d" and isinstance(module, nn.BatchNorm2d):
            module.__class__ = _SynchronizedBatchNormAct2d
        elif isinstance(module, _SYNCHRONIZABLE):
            module.synchronized = True
    return model


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm, of torch, timm or segwright."""
    norms_of_torch = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
    return isinstance(module, norms_of_torch) or isinstance(getattr(module, "norm", None), Norm)


def freeze_norms(model: nn.Module, *, affine: bool = False, statistics: bool = False) -> nn.Module:
    """Freeze the norms of ``model``, in place.

    ``affine``: scale and shift get no gradient, so they are not trained (Pytorch-Deeplab). ``statistics``: training
    uses the running statistics and does not change them, also after ``model.train()`` (CSAIL).
    """
    for module in filter(is_norm, model.modules()):
        if affine:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
        if statistics:
            module.register_forward_pre_hook(_evaluate)
    return model


def _evaluate(module: nn.Module, _: Any) -> None:
    # In a hook at each call, because model.train() switches every module back; copies of the model keep the hook (EMA).
    module.training = False
