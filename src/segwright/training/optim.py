"""The optimizer of a recipe: what is trained, and parameter groups by what a parameter is."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from segwright.errors import UserError
from segwright.models.layers.norm_layers import freeze_norms, is_norm
from segwright.recipe import Optim
from segwright.recipes._repeated_sgd import RepeatedOptim, RepeatedSGD, divided
from segwright.training.muon import Muon


def freeze(model: nn.Module, optim: Optim) -> nn.Module:
    """Take from training, in place, what ``optim`` freezes; ``UserError`` for a name that names nothing.

    Before the model is made parallel, which counts the gradients that it has to wait for.
    """
    for beginning in optim.frozen:
        found = [
            p for name, p in model.named_parameters() if f"{name}.".startswith(f"{beginning.rstrip('.')}.")
        ]
        if not found:
            names = ", ".join(name for name, _ in model.named_children())
            raise UserError(f"optim.frozen: no parameter begins with {beginning!r}; the parts are {names}")
        for parameter in found:
            parameter.requires_grad_(False)
    return freeze_norms(model, affine=optim.freeze_norm_affine, statistics=optim.freeze_norm_statistics)


def optimizers(model: nn.Module, optim: Optim) -> list[Optimizer]:
    """The optimizers over the trainable parameters of ``model``; each group remembers its full rate as ``peak``."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    norms = norm_names(model)
    if optim.name == "sgd":
        groups = parameter_groups(named, optim, norms)
        if isinstance(optim, RepeatedOptim):
            return [RepeatedSGD(divided(groups, named, optim), lr=optim.lr, momentum=optim.momentum)]
        return [SGD(groups, lr=optim.lr, momentum=optim.momentum, nesterov=optim.nesterov)]
    if optim.name != "muon":
        kind = Adam if optim.name == "adam" else AdamW
        return [kind(parameter_groups(named, optim, norms), lr=optim.lr, betas=optim.betas)]
    edges = _edges(model)
    hidden = [i for i in named if i[1].ndim > 1 and i[0] not in norms and not i[0].startswith(edges)]
    inside = {name for name, _ in hidden}
    rest = [item for item in named if item[0] not in inside]
    return [
        Muon(parameter_groups(hidden, optim, norms), lr=optim.lr, momentum=optim.momentum),
        AdamW(parameter_groups(rest, optim, norms), lr=optim.lr, betas=optim.betas),
    ]


def _edges(model: nn.Module) -> tuple[str, ...]:
    """Beginnings of the names that are not hidden: the first layer sees colors, rows of the last ones are classes."""
    names = [name for name, _ in model.named_parameters()]
    last = ("head", "auxiliary")
    if not any(name.startswith(last) for name in names):
        parts = ", ".join(name for name, _ in model.named_children())
        raise UserError(
            f"optim.name=muon leaves out the layers that give scores; expected them in parts of the model whose "
            f"names begin with head or auxiliary, found {parts}; rename them, or use adamw"
        )
    return (*last, names[0])


def norm_names(model: nn.Module) -> set[str]:
    """The names of all parameters of norms."""
    return {
        f"{name}.{own}" if name else own
        for name, module in model.named_modules()
        if is_norm(module)
        for own, _ in module.named_parameters(recurse=False)
    }


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]], optim: Optim, norms: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Groups by part (``backbone.`` or head), weight decay and rate, empty ones left out.

    ``norms``: names of parameters that belong to norms, whatever their shape.
    """
    groups: dict[tuple[bool, bool, float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        head = not name.startswith("backbone.")
        decays, decay, factor = True, optim.weight_decay, 1.0
        if parameter.ndim <= 1 or name in norms:
            bias = name not in norms and name.rpartition(".")[2] == "bias"
            own = optim.bias_decay if bias else optim.norm_decay
            decays = optim.decay_norm_and_bias
            decay = own if own is not None else (optim.weight_decay if decays else 0.0)
            factor = optim.bias_lr_factor if bias else 1.0
        groups.setdefault((head, decays, decay, factor), []).append(parameter)
    has_backbone = any(not head for head, *_ in groups)
    return [
        {
            "params": parameters,
            "lr": (peak := optim.lr * _part_factor(optim, head=head, has_backbone=has_backbone) * factor),
            "peak": peak,
            "weight_decay": decay,
        }
        for (head, _, decay, factor), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def _part_factor(optim: Optim, *, head: bool, has_backbone: bool) -> float:
    if not head:
        return optim.backbone_lr_factor
    return optim.head_lr_factor if has_backbone else 1.0


def set_rate(optimizers: Iterable[Optimizer], factor: float) -> None:
    """Set every group to its peak rate times ``factor``."""
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = group["peak"] * factor


def clip(model: nn.Module, norm: float | None) -> torch.Tensor | None:
    """Scale gradients down to ``norm`` if they exceed it; their norm before."""
    return None if norm is None else nn.utils.clip_grad_norm_(model.parameters(), norm)
