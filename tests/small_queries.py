"""A query model that trains in seconds; its loss compares masks at fixed points, equal in any number of processes."""

from __future__ import annotations

import torch
from torch import Tensor

from segwright.data.datasets import StreetScenes
from segwright.losses import QueryLoss, query
from segwright.recipes import eomt
from segwright.training.optimizers import SGD
from segwright.training.recipe import Recipe, Training


def grid(count: int, device: torch.device) -> Tensor:
    """``count`` points on a regular grid, a square number."""
    side = torch.linspace(0.02, 0.98, round(count**0.5), device=device)
    return torch.cartesian_prod(side, side)


def recipe() -> Recipe:
    """Three steps of four images with different numbers of objects."""
    query.random_points = grid
    query.uncertain_points = lambda own, count, **_: grid(count, own.device).expand(len(own), -1, -1)
    small = eomt.street_panoptic().tiny()
    small.name, small.data = "small_queries", StreetScenes(train=13, val=1, size=(64, 64), panoptic=True)
    small.model.masked_attention = False  # type: ignore[attr-defined]
    small.loss = QueryLoss(queries=40, points=144)
    small.optim = SGD(lr=0.01, momentum=0.9)
    small.training = Training(
        steps=3, batch=4, precision="fp32", workers=0, evaluate_every=1.0, save_every=1.0, log_every=0.3
    )
    return small
