"""The exponential moving average (EMA) of a model's weights: checkpoint averaging during training."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


class ExponentialMovingAverage(Generic[Module]):
    """A copy of a model whose parameters and buffers (norm statistics) are averages of those of the model in training.

    The decay rises as (1 + step) / (10 + step) up to ``decay``, so that the average of a short training forgets the
    initial weights.
    """

    def __init__(self, model: Module, decay: float) -> None:
        self.model: Module = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights of ``model`` after optimizer step ``step`` (from 0); counters are copied."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        values = model.state_dict()
        for name, average in self.model.state_dict().items():
            if average.dtype.is_floating_point:
                average.lerp_(values[name].to(average.dtype), weight)
            else:
                average.copy_(values[name])
