"""The optimizer of a recipe: parameter groups by what a parameter is."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from segwright.recipe import Optim


def optimizer(model: nn.Module, optim: Optim) -> Optimizer:
    """The optimizer over the trainable parameters of ``model``; each group remembers its full rate as ``peak``."""
    groups = parameter_groups(model, optim)
    if optim.name == "sgd":
        return SGD(groups, lr=optim.lr, momentum=optim.momentum, nesterov=optim.nesterov)
    kind = Adam if optim.name == "adam" else AdamW
    return kind(groups, lr=optim.lr, betas=optim.betas)


def parameter_groups(model: nn.Module, optim: Optim) -> list[dict[str, Any]]:
    """Groups by part (``backbone.`` or head) and by decay (weights, or norms and biases), empty ones left out."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            head = not name.startswith("backbone.")
            decays = parameter.ndim > 1 or optim.decay_norm_and_bias
            groups.setdefault((head, decays), []).append(parameter)
    has_backbone = any(not head for head, _ in groups)
    return [
        {
            "params": parameters,
            "lr": (peak := optim.lr * (optim.head_lr_factor if head and has_backbone else 1.0)),
            "peak": peak,
            "weight_decay": optim.weight_decay if decays else 0.0,
        }
        for (head, decays), parameters in sorted(groups.items())
    ]


def set_rate(optimizer: Optimizer, factor: float) -> None:
    """Set every group to its peak rate times ``factor``."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def clip(model: nn.Module, norm: float | None) -> torch.Tensor | None:
    """Scale gradients down to ``norm`` if they exceed it; their norm before."""
    return None if norm is None else nn.utils.clip_grad_norm_(model.parameters(), norm)
