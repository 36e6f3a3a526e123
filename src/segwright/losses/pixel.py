"""Losses over pixels. Each gives named sums, and the counts that turn them into means."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import IGNORED, Loss, PixelOutput, Targets
from segwright.models.layers.resize import enlarge


@dataclass(slots=True)
class CrossEntropy:
    """Cross entropy of the logits, brought to the size of the targets by bilinear interpolation.

    ``class_weights`` weigh pixels by their class (the mean stays one over valid pixels only if the weights
    say so); ``smoothing`` spreads that share of the truth over all classes; ``auxiliary`` weighs the
    auxiliary heads. ``weight`` weighs the whole term.
    """

    class_weights: tuple[float, ...] | None = None
    smoothing: float = 0.0
    auxiliary: float = 0.4
    weight: float = 1.0

    def __call__(self, output: PixelOutput, targets: Targets) -> dict[str, Tensor]:
        """The sums ``ce`` and, with auxiliary heads, ``auxiliary``."""
        sums = {"ce": self.weight * self._sum(output.logits, targets.semantic)}
        if output.auxiliary:
            parts = [self._sum(logits, targets.semantic) for logits in output.auxiliary]
            sums["auxiliary"] = self.weight * self.auxiliary * torch.stack(parts).sum()
        return sums

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of pixels with truth."""
        valid = (targets.semantic != IGNORED).sum().float()
        return {"ce": valid, "auxiliary": valid}

    def _sum(self, logits: Tensor, semantic: Tensor) -> Tensor:
        logits = enlarge(logits.float(), semantic.shape[1:])
        weights = None if self.class_weights is None else logits.new_tensor(self.class_weights)
        return F.cross_entropy(
            logits, semantic, weight=weights, ignore_index=IGNORED, reduction="sum", label_smoothing=self.smoothing
        )


@dataclass(slots=True)
class Dice:
    """One minus the soft Dice coefficient, averaged over the classes in the truth of this process's images.

    A ratio of sums is no sum over pixels: with several processes or micro-steps it is the mean of theirs.
    """

    weight: float = 1.0

    def __call__(self, output: PixelOutput, targets: Targets) -> dict[str, Tensor]:
        """The sum ``dice``: the value times the number of images."""
        logits = enlarge(output.logits.float(), targets.semantic.shape[1:])
        valid = (targets.semantic != IGNORED).unsqueeze(1)
        probabilities = logits.softmax(1) * valid
        index = targets.semantic.where(valid.squeeze(1), torch.zeros_like(targets.semantic)).unsqueeze(1)
        truth = torch.zeros_like(probabilities).scatter_(1, index, valid.float())
        both = (probabilities * truth).sum((0, 2, 3))
        one = (probabilities + truth).sum((0, 2, 3))
        present = truth.sum((0, 2, 3)) > 0
        coefficient = ((1 - 2 * both / one.clamp(min=1)) * present).sum() / present.sum().clamp(min=1)
        return {"dice": self.weight * coefficient * len(logits)}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of images."""
        return {"dice": targets.semantic.new_tensor(len(targets.semantic), dtype=torch.float32)}


@dataclass(slots=True)
class Sum:
    """Several losses together."""

    terms: tuple[Loss, ...]

    def __call__(self, output: PixelOutput, targets: Targets) -> dict[str, Tensor]:
        """The terms of all."""
        return {name: value for term in self.terms for name, value in term(output, targets).items()}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The counts of all."""
        return {name: value for term in self.terms for name, value in term.counts(targets).items()}
