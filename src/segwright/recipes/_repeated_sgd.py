"""SGD that updates some parameters several times per step, as an optimizer does that lists them several times.

Pytorch-Deeplab trains so; ``_upstream_bugs.LegacyDeepLabVoc`` says which parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from segwright.training.optimizers import OptimizerSettings


@dataclass(slots=True)
class RepeatedSGD(OptimizerSettings):
    """SGD with ``momentum`` that updates parameters as many times per step as ``repeats`` says.

    ``repeats`` lists prefixes of parameter names and how many times to update; the first prefix that fits counts. All
    other parameters are updated once.
    """

    momentum: float = 0.9
    repeats: tuple[tuple[str, int], ...] = ()

    def build(self, groups: list[dict[str, Any]]) -> list[Optimizer]:
        """One optimizer; each group is split into parameters with the same number of updates, its ``times``."""
        split = [
            {**group, "params": [p for p in group["params"] if self.times(p[0]) == times], "times": times}
            for group in groups
            for times in sorted({self.times(name) for name, _ in group["params"]})
        ]
        return [RepeatedSGDOptimizer(split, lr=self.lr, momentum=self.momentum)]

    def times(self, name: str) -> int:
        """How many times per step the parameter called ``name`` is updated."""
        return next((times for prefix, times in self.repeats if f"{name}.".startswith(f"{prefix}.")), 1)


class RepeatedSGDOptimizer(Optimizer):
    """SGD with momentum that updates a group ``times`` times per step, with one gradient and one momentum buffer.

    Weight decay is added to the gradient in place, so that the next update of the same step finds it there, as in torch
    before 1.5: ``times`` = k decays as k (k + 1) / 2 single updates do.
    """

    def __init__(self, groups: Iterable[Any], *, lr: float, momentum: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "times": 1})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; the gradients are changed."""
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
