"""Matching of queries and true masks, one to one, at the lowest total cost (Carion et al.: DETR, ECCV 2020)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor


def match(cost: Float[Tensor, "queries masks"]) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]:
    """The pairs (query, mask) of the lowest total cost, by query; as many as the smaller of the two numbers.

    A cost that is not finite counts as the highest one, so that a diverging training reaches the check of its loss.
    """
    from scipy.optimize import linear_sum_assignment

    largest = torch.finfo(cost.dtype).max
    finite = torch.nan_to_num(cost, nan=largest, posinf=largest, neginf=largest)
    queries, masks = linear_sum_assignment(finite.cpu().numpy())
    return torch.from_numpy(queries).to(cost.device), torch.from_numpy(masks).to(cost.device)


def _zero() -> Tensor:
    return torch.zeros(())  # can be added to a tensor on any device


@dataclass(slots=True, eq=False)
class MaskCosts:
    """The costs of every query with every mask, from sums over points that may be added in several parts."""

    _entropy: Tensor = field(default_factory=_zero, init=False)
    _common: Tensor = field(default_factory=_zero, init=False)
    _predicted: Tensor = field(default_factory=_zero, init=False)
    _true: Tensor = field(default_factory=_zero, init=False)
    _weights: Tensor = field(default_factory=_zero, init=False)

    def add(
        self,
        logits: Float[Tensor, "queries points"],
        targets: Float[Tensor, "masks points"],
        weights: Float[Tensor, "1 points"],
    ) -> None:
        """Add predicted logits and true values 0..1 at weighted points."""
        # The entropy with a target t is softplus(x) - t x. In these steps softplus takes a third of its own time.
        softplus = logits.abs().neg_().exp_().add_(1).log_().add_(logits.clamp(min=0))
        outside, linear = softplus.mul_(weights).sum(1)[:, None], logits * weights
        self._entropy = self._entropy + outside - (targets @ linear.T).T
        probabilities = logits.sigmoid().mul_(weights)
        self._common = self._common + 2 * (targets @ probabilities.T).T
        self._predicted = self._predicted + probabilities.sum(1)[:, None]
        self._true = self._true + (targets * weights).sum(1)
        self._weights = self._weights + weights.sum()

    def entropy(self) -> Float[Tensor, "queries masks"]:
        """The mean binary cross entropy."""
        return self._entropy / self._weights.clamp(min=1e-6)

    def dice(self) -> Float[Tensor, "queries masks"]:
        """1 minus the Dice coefficient, with 1 added to its numerator and denominator."""
        return 1 - (self._common + 1) / (self._predicted + self._true + 1)
