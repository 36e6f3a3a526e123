"""Losses of sigmoid heads: every channel answers yes or no by itself.

One channel says whether a pixel is of class 1, in a label space of two; several say so of their own class.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import Output, PixelOutput, Targets
from segwright.losses.pixel import class_logits, image_count, resize_to_match
from segwright.samples import IGNORED


@dataclass(slots=True)
class BinaryCrossEntropy:
    """Binary cross entropy, the mean over channels, a sum over pixels with truth.

    ``positive_weights``: how much more a yes counts than a no, one a channel.
    """

    positive_weights: tuple[float, ...] | None = None
    auxiliary: float = 0.4
    weight: float = 1.0
    reduced: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sums ``bce`` and, with auxiliary heads, ``auxiliary``."""
        sums = {"bce": self.weight * self._sum(class_logits(output), targets.semantic)}
        if isinstance(output, PixelOutput) and output.auxiliary:
            parts = [self._sum(logits, targets.semantic) for logits in output.auxiliary]
            sums["auxiliary"] = self.weight * self.auxiliary * torch.stack(parts).sum()
        return sums

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of pixels with truth."""
        valid = (targets.semantic != IGNORED).sum().float()
        return {"bce": valid, "auxiliary": valid}

    def _sum(self, logits: Tensor, semantic: Tensor) -> Tensor:
        scores, truth = resize_to_match(logits, semantic, reduced=self.reduced)
        binary_masks, valid = _answers(scores, truth)
        more = None
        if self.positive_weights is not None:
            more = scores.new_tensor(self.positive_weights).view(-1, 1, 1)
        each = F.binary_cross_entropy_with_logits(scores, binary_masks, pos_weight=more, reduction="none")
        total = (each.mean(1) * valid).sum()
        return total * (semantic.numel() / truth.numel())  # a pixel of a reduced map stands for several


@dataclass(slots=True)
class SigmoidDice:
    """One minus the soft Dice coefficient (Milletari et al. 2016), the mean over channels; see ``pixel.Dice``."""

    weight: float = 1.0
    reduced: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``dice``: the value times the number of images; 0 without truth."""
        logits = class_logits(output)
        scores, truth = resize_to_match(logits, targets.semantic, reduced=self.reduced)
        binary_masks, valid = _answers(scores, truth)
        shares = scores.sigmoid() * valid[:, None]
        both, either = (shares * binary_masks).sum((0, 2, 3)), (shares + binary_masks).sum((0, 2, 3))
        value = (1 - (2 * both + 1) / (either + 1)).mean() * (valid.sum() > 0)
        return {"dice": self.weight * value * len(logits)}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of images."""
        return {"dice": image_count(targets)}


def _answers(scores: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Yes or no [N, C, H, W] (no where there is no truth), and where there is truth [N, H, W], as numbers."""
    first = 1 if scores.shape[1] == 1 else 0
    channels = torch.arange(scores.shape[1], device=truth.device) + first
    binary_masks = truth[:, None] == channels.view(1, -1, 1, 1)
    return binary_masks.to(scores.dtype), (truth != IGNORED).to(scores.dtype)
