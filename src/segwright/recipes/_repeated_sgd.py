"""SGD that moves some parameters several times a step: what an optimizer does that lists them several times (S3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from segwright.recipe import Optim


@dataclass(slots=True)
class RepeatedOptim(Optim):
    """``Optim`` for SGD whose parameters with these beginnings of names are moved so often a step.

    The first of ``repeats`` that fits counts; all others are moved once.
    """

    repeats: tuple[tuple[str, int], ...] = ()

    def times(self, name: str) -> int:
        """How often the parameter called ``name`` is moved."""
        return next((times for beginning, times in self.repeats if f"{name}.".startswith(f"{beginning}.")), 1)


def divided(
    groups: Iterable[dict[str, Any]], named: Sequence[tuple[str, nn.Parameter]], optim: RepeatedOptim
) -> list[dict[str, Any]]:
    """Parameter groups, each divided into those that are moved equally often, which they know as ``times``."""
    often = {parameter: optim.times(name) for name, parameter in named}
    return [
        {**group, "params": [p for p in group["params"] if often[p] == times], "times": times}
        for group in groups
        for times in sorted({often[p] for p in group["params"]})
    ]


class RepeatedSGD(Optimizer):
    """SGD with momentum; a group is moved ``times`` times a step with one gradient and one buffer.

    Weight decay is added to the gradient itself, where the next of these moves finds it, as in torch before 1.5:
    moving k times decays as k (k + 1) / 2 times once.
    """

    def __init__(self, groups: Iterable[Any], *, lr: float, momentum: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "times": 1})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient; the gradients are used up."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                for _ in range(group["times"]):
                    parameter.grad.add_(parameter, alpha=group["weight_decay"])
                    buffer = state["momentum"].mul_(group["momentum"]).add_(parameter.grad)
                    parameter.add_(buffer, alpha=-group["lr"])
