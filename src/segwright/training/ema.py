"""The exponential moving average of a model's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn

from segwright.contracts import Model


class ExponentialMovingAverage:
    """A second model whose parameters follow the first; its buffers (norm statistics) follow, too.

    The decay rises as (1 + step) / (10 + step) up to ``decay``, so a short training is not an average of its
    beginning.
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards ``model`` after optimizer step ``step`` (from 0)."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for mine, theirs in _pairs(self.model, model):
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs.to(mine.dtype), share)
            else:
                mine.copy_(theirs)


def _pairs(first: nn.Module, second: nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    theirs = second.state_dict()
    return [(value, theirs[name]) for name, value in first.state_dict().items()]
