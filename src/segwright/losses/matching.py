"""Matching of queries and true masks, one to one, at the lowest total cost (Carion et al.: DETR, ECCV 2020)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def match(cost: Float[Tensor, "queries masks"]) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]:
    """The pairs (query, mask) of the lowest total cost, by query; as many as the smaller of the two numbers.

    A cost that is not finite counts as the highest one, so that a diverging training reaches the check of its loss.
    """
    from scipy.optimize import linear_sum_assignment

    largest = torch.finfo(cost.dtype).max
    finite = torch.nan_to_num(cost, nan=largest, posinf=largest, neginf=largest)
    queries, masks = linear_sum_assignment(finite.cpu().numpy())
    return torch.from_numpy(queries).to(cost.device), torch.from_numpy(masks).to(cost.device)


def cross_entropy_cost(
    logits: Float[Tensor, "queries points"],
    targets: Float[Tensor, "masks points"],
    weights: Float[Tensor, "1 points"],
) -> Float[Tensor, "queries masks"]:
    """The mean binary cross entropy of every query with every mask, over points weighted with ``weights``."""
    weights = weights / weights.sum().clamp(min=1e-6)
    inside, outside = F.softplus(-logits) * weights, F.softplus(logits) * weights
    return inside @ targets.T + outside @ (1 - targets).T


def dice_cost(
    logits: Float[Tensor, "queries points"],
    targets: Float[Tensor, "masks points"],
    weights: Float[Tensor, "1 points"],
) -> Float[Tensor, "queries masks"]:
    """1 minus the Dice coefficient of every query with every mask; 1 is added to its numerator and denominator."""
    probabilities = logits.sigmoid() * weights
    common = 2 * probabilities @ targets.T
    total = probabilities.sum(1)[:, None] + (targets * weights).sum(1)
    return 1 - (common + 1) / (total + 1)
