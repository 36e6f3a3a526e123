"""The Muon optimizer (Jordan et al. 2024) for convolutions: momentum SGD with orthogonalized updates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class MuonOptimizer(Optimizer):
    """Muon for weights of two or more dimensions, taken as matrices [outputs, rest]; that of torch takes only two.

    An update is scaled by 0.2 sqrt(larger side), so that its entries are as large as those of Adam and a learning
    rate for Adam fits (Liu et al. 2025, "Muon is scalable for LLM training"). Weight decay is decoupled.
    """

    def __init__(
        self, groups: Iterable[Any], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].mul_(group["momentum"]).add_(weight.grad)
                update = weight.grad + group["momentum"] * momentum  # Nesterov momentum
                matrix = orthogonalize(update.reshape(len(update), -1).float())
                scale = 0.2 * max(matrix.shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(matrix.view(update.shape).to(weight.dtype), alpha=-group["lr"] * scale)


def orthogonalize(matrix: Tensor) -> Tensor:
    """An approximation of the nearest semi-orthogonal matrix, by five quintic Newton-Schulz steps.

    All powers are powers of the smaller Gram matrix. For wide convolutions that saves most of the work.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    gram = wide @ wide.T
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    product = None
    for step in range(5):
        factor = 3.4445 * identity - 4.7750 * gram + 2.0315 * (gram @ gram)
        product = factor if product is None else factor @ product
        if step < 4:
            gram = factor @ gram @ factor
    result = product @ wide
    return torch.as_tensor(result if matrix.shape[0] <= matrix.shape[1] else result.T)
