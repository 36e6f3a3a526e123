"""Parameters of a model for an optimizer: what is trained, with which learning rate and weight decay."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from segwright.errors import UserError
from segwright.models.layers.norm_layers import freeze_norms, is_norm
from segwright.training.recipe import OptimizerConfig

SCORE_LAYERS = ("head", "auxiliary")
"""Prefixes of the names of layers that compute class scores."""


BLOCK = re.compile(r"(?:[^.]*[^.\d][^.]*\.)+?\d+(?:\.(?:blocks\.|layers\.)?\d+(?=\.))*")
"""The part of a parameter's name that names its block."""


def freeze(model: nn.Module, optim: OptimizerConfig) -> nn.Module:
    """Exclude from training, in place, what ``optim`` freezes; ``UserError`` for a prefix that no parameter has.

    Call it before the model is wrapped for distributed training, which counts the gradients to wait for.
    """
    for prefix in optim.frozen:
        frozen = [
            parameter
            for name, parameter in model.named_parameters()
            if f"{name}.".startswith(f"{prefix.rstrip('.')}.")
        ]
        if not frozen:
            names = ", ".join(name for name, _ in model.named_children())
            raise UserError(f"optim.frozen: no parameter begins with {prefix!r}; the parts are {names}")
        for parameter in frozen:
            parameter.requires_grad_(False)
    return freeze_norms(model, affine=optim.freeze_norm_affine, statistics=optim.freeze_norm_statistics)


def build_optimizers(model: nn.Module, optim: OptimizerConfig) -> list[Optimizer]:
    """The optimizers of the trainable parameters; ``peak`` of a group is its learning rate before the schedule."""
    optimizers = list(optim.build(parameter_groups(model, optim)))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group.setdefault("peak", group["lr"])
    return optimizers


def parameter_groups(model: nn.Module, optim: OptimizerConfig) -> list[dict[str, Any]]:
    """Groups of trainable parameters, as ``torch.optim`` takes them. All parameters of a group have the same settings.

    Keys of a group: ``params``, a list of (name, parameter); ``lr``, and the same number as ``peak``; ``weight_decay``;
    ``backbone``: whether they are its parameters; ``hidden``: True for the weights between the first layer and the
    layers that compute class scores, None for all if the model has no layers called ``head...`` or ``auxiliary...``:
    the last layers are then unknown.
    """
    has_backbone = any(name.startswith("backbone.") for name, _ in model.named_parameters())
    for field in ("backbone_lr_factor", "layer_decay"):
        value = getattr(optim, field)
        if value != 1 and not has_backbone:
            raise UserError(
                f"optim.{field} is {value}, but {type(model).__name__} has no backbone; expected 1, or a model with a "
                f"backbone; set optim.{field}=1"
            )
    norms, hidden = norm_names(model), hidden_weights(model)
    depths = depths_below_head(model) if optim.layer_decay != 1 else {}
    groups: dict[tuple[Any, ...], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        in_head = not name.startswith("backbone.")
        decay, factor = optim.weight_decay, 1.0
        if parameter.ndim <= 1 or name in norms:
            is_bias = name not in norms and name.rpartition(".")[2] == "bias"
            own_decay = optim.bias_decay if is_bias else optim.norm_decay
            if own_decay is not None or not optim.decay_norm_and_bias:
                decay = own_decay or 0.0
            factor = optim.bias_lr_factor if is_bias else 1.0
        factor *= optim.layer_decay ** depths.get(name, 0)
        key = (in_head, decay, factor, None if hidden is None else name in hidden)
        groups.setdefault(key, []).append((name, parameter))
    return [
        {
            "params": parameters,
            "lr": (peak := optim.lr * _part_factor(optim, in_head, has_backbone) * factor),
            "peak": peak,
            "weight_decay": decay,
            "hidden": is_hidden,
            "backbone": not in_head,
        }
        for (in_head, decay, factor, is_hidden), parameters in sorted(
            groups.items(), key=lambda item: item[0]
        )
    ]


def depths_below_head(model: nn.Module) -> dict[str, int]:
    """How many blocks lie between each parameter of the backbone and the head; 1 in the last block.

    A block is "layer1.0" of a ResNet, "stages.2.blocks.0" of a ConvNeXt, "blocks.3" of a transformer. Parameters before
    the first block, the stem or the position embedding, are a block of their own.
    """
    blocks: dict[str, int] = {}
    numbers: dict[str, int] = {}
    for name, _ in model.named_parameters():
        if name.startswith("backbone."):
            match = BLOCK.match(name)
            block = match.group() if match else ""
            if match is None and blocks.keys() - {""}:  # a norm after the last block
                block = next(reversed(blocks))
            numbers[name] = blocks.setdefault(block, len(blocks))
    return {name: len(blocks) - number for name, number in numbers.items()}


def hidden_weights(model: nn.Module) -> set[str] | None:
    """The names of weights (not of norms) between the first layer and the layers that compute class scores.

    The first layer is the first parameter of the model: its inputs are colors, not features. None if no name starts
    with one of ``SCORE_LAYERS``.
    """
    names = [name for name, _ in model.named_parameters()]
    if not any(name.startswith(SCORE_LAYERS) for name in names):
        return None
    norms, outer = norm_names(model), (*SCORE_LAYERS, names[0])
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim > 1 and name not in norms and not name.startswith(outer)
    }


def norm_names(model: nn.Module) -> set[str]:
    """The names of all parameters of norms."""
    return {
        f"{name}.{own}" if name else own
        for name, module in model.named_modules()
        if is_norm(module)
        for own, _ in module.named_parameters(recurse=False)
    }


def _part_factor(optim: OptimizerConfig, in_head: bool, has_backbone: bool) -> float:
    if not in_head:
        return optim.backbone_lr_factor
    return optim.head_lr_factor if has_backbone else 1.0


def set_learning_rate(
    optimizers: Iterable[Optimizer], factor: float, *, backbone: float | None = None
) -> None:
    """Set every group to its peak learning rate times ``factor``; ``backbone``: that of the backbone's groups."""
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        own = backbone if backbone is not None and group.get("backbone") else factor
        group["lr"] = group["peak"] * own


def clip_gradients(model: nn.Module, max_norm: float | None) -> torch.Tensor | None:
    """Scale all gradients so that their norm is at most ``max_norm`` (None: leave them); their norm before."""
    return None if max_norm is None else nn.utils.clip_grad_norm_(model.parameters(), max_norm)
