"""The optimizer of a recipe: parameter groups by what a parameter is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from segwright.recipe import Optim
from segwright.training.muon import Muon


def optimizers(model: nn.Module, optim: Optim) -> list[Optimizer]:
    """The optimizers over the trainable parameters of ``model``; each group remembers its full rate as ``peak``."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if optim.name == "sgd":
        groups = parameter_groups(named, optim)
        return [SGD(groups, lr=optim.lr, momentum=optim.momentum, nesterov=optim.nesterov)]
    if optim.name != "muon":
        kind = Adam if optim.name == "adam" else AdamW
        return [kind(parameter_groups(named, optim), lr=optim.lr, betas=optim.betas)]
    # Neither the first layer, which sees colors, nor the last ones, whose rows are classes, are hidden.
    edges = ("head", "auxiliary", named[0][0])
    hidden = [item for item in named if item[1].ndim > 1 and not item[0].startswith(edges)]
    inside = {name for name, _ in hidden}
    rest = [item for item in named if item[0] not in inside]
    return [
        Muon(parameter_groups(hidden, optim), lr=optim.lr, momentum=optim.momentum),
        AdamW(parameter_groups(rest, optim), lr=optim.lr, betas=optim.betas),
    ]


def parameter_groups(named: Iterable[tuple[str, nn.Parameter]], optim: Optim) -> list[dict[str, Any]]:
    """Groups by part (``backbone.`` or head) and by decay (weights, or norms and biases), empty ones left out."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in named:
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


def set_rate(optimizers: Iterable[Optimizer], factor: float) -> None:
    """Set every group to its peak rate times ``factor``."""
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = group["peak"] * factor


def clip(model: nn.Module, norm: float | None) -> torch.Tensor | None:
    """Scale gradients down to ``norm`` if they exceed it; their norm before."""
    return None if norm is None else nn.utils.clip_grad_norm_(model.parameters(), norm)
