"""The norms by name, each with its activation inside; making them global; freezing them."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.models.layers.debiased import DebiasedBatchNorm2d
from segwright.models.layers.evonorm import EvoNormB0, EvoNormS0
from segwright.models.layers.inplace import InPlaceNorm2d
from segwright.models.layers.norm_config import Norm, activate, one_value, several, sum_over_processes


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """The module of ``norm`` over maps [N, ``channels``, H, W] of any float type.

    It is called as ``layer(x)`` or, at the exit of a residual block, ``layer(x, residual)``, which adds the
    residual before the activation. Keys are those of ``nn.BatchNorm2d`` (batch, inplace, s2_syncbn), weight
    and bias (group), gamma, beta, v and running_var (evonorm), none (instance, none). One value a channel
    (a pooled map of one image) is normalized by the running statistics and not counted; an instance norm
    makes it 0, as its formula says.
    """
    kinds: dict[str, Any] = {
        "batch": ActivatedBatchNorm2d,
        "inplace": InPlaceNorm2d,
        "instance": ActivatedInstanceNorm2d,
        "group": ActivatedGroupNorm,
        "evonorm_s0": EvoNormS0,
        "evonorm_b0": EvoNormB0,
        "s2_syncbn": DebiasedBatchNorm2d,
        "none": ActivationOnly,
    }
    layer: nn.Module = kinds[norm.kind](norm, channels)
    return layer


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` with the statistics of all processes, of any batch sizes; same keys, same numbers."""

    across: bool = True

    def forward(self, input: Tensor) -> Tensor:
        """Normalize [N, C, H, W]; in evaluation or alone exactly as ``nn.BatchNorm2d``."""
        if not self.training or not (self.across and several()):
            if self.training and self.track_running_stats and one_value(input, across=self.across):
                scale = (self.running_mean, self.running_var, self.weight, self.bias)
                return F.batch_norm(input, *scale, training=False, eps=self.eps)
            return super().forward(input)
        values = input.float()
        count = values.new_full((1,), values.numel() / values.shape[1])
        # The mean first: sum of squares minus squared mean would lose what float32 has left.
        total = sum_over_processes(torch.cat([values.sum((0, 2, 3)), count]))
        mean = total[:-1] / total[-1]
        centered = values - mean.view(1, -1, 1, 1)
        variance = sum_over_processes(centered.square().sum((0, 2, 3))) / total[-1]
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


class ActivatedBatchNorm2d(GlobalBatchNorm2d):
    """Batch norm and activation; over all processes once ``make_global`` has seen it."""

    def __init__(self, norm: Norm, channels: int) -> None:
        super().__init__(
            channels, eps=norm.eps or 1e-5, momentum=0.1 if norm.momentum is None else norm.momentum
        )
        self.norm, self.across = norm, False

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """Normalize [N, C, H, W], add ``residual``, activate."""
        return activate(super().forward(input), self.norm, residual)


class ActivatedGroupNorm(nn.GroupNorm):
    """Group norm (Wu and He 2018) and activation; as many groups as divide the channels."""

    def __init__(self, norm: Norm, channels: int) -> None:
        super().__init__(math.gcd(norm.groups, channels), channels, eps=norm.eps or 1e-5)
        self.norm = norm

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """Normalize [N, C, H, W], add ``residual``, activate."""
        # Not by the module, which refuses one pixel of one image, though a group of channels has statistics.
        out = torch.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
        return activate(out, self.norm, residual)


class ActivatedInstanceNorm2d(nn.Module):
    """Instance norm (Ulyanov et al. 2016) without parameters, and activation; a map of one pixel gives 0."""

    def __init__(self, norm: Norm, channels: int) -> None:
        super().__init__()
        self.norm, self.channels = norm, channels

    def forward(
        self, input: Float[Tensor, "images channels height width"], residual: Tensor | None = None
    ) -> Float[Tensor, "images channels height width"]:
        """Normalize [N, C, H, W], add ``residual``, activate."""
        eps = self.norm.eps or 1e-5
        if input.shape[2] * input.shape[3] == 1:  # torch refuses what its formula answers
            return activate(input - input, self.norm, residual)
        return activate(F.instance_norm(input, eps=eps), self.norm, residual)

    def extra_repr(self) -> str:
        """The channels, for printing."""
        return str(self.channels)


class ActivationOnly(nn.Module):
    """No norm."""

    def __init__(self, norm: Norm, channels: int) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """Add ``residual``, activate; ``input`` stays as it is."""
        # Whoever made the input may need it for its gradient.
        return activate(input, self.norm, residual, inplace=False)


def make_global(model: nn.Module) -> nn.Module:
    """Turn every batch norm of the model, in place, into one over all processes; its keys stay."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GlobalBatchNorm2d
        elif type(module).__name__ == "BatchNormAct2d" and isinstance(module, nn.BatchNorm2d):
            module.__class__ = _GlobalBatchNormAct2d
        elif hasattr(module, "across"):
            setattr(module, "across", True)  # noqa: B010 (of whatever class)
    return model


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm, of torch, timm or segwright."""
    torchs = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
    return isinstance(module, torchs) or isinstance(getattr(module, "norm", None), Norm)


def freeze_norms(model: nn.Module, *, affine: bool = False, statistics: bool = False) -> nn.Module:
    """Freeze the norms of ``model``, in place: two switches, as S3 froze the first only and S2 the second.

    ``affine``: scale and shift get no gradient and so are not trained. ``statistics``: training uses the
    running statistics and leaves them as they are, whatever ``model.train()`` says.
    """
    for module in filter(is_norm, model.modules()):
        if affine:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
        if statistics:
            module.register_forward_pre_hook(_evaluate)
    return model


def _evaluate(module: nn.Module, _: Any) -> None:
    # At each call, as model.train() switches every module back; a hook is copied with the model (for the EMA).
    module.training = False
