"""Losses over pixels. Each gives named sums, and the counts that turn them into means."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import IGNORED, Loss, PixelOutput, Targets
from segwright.models.layers.resize import enlarge


@dataclass(slots=True)
class CrossEntropy:
    """Cross entropy, a sum over pixels with truth.

    ``class_weights`` weigh pixels by their class; ``smoothing`` spreads that share of the truth over all
    classes; ``auxiliary`` weighs the auxiliary heads, ``weight`` the whole. Scores are brought to the size of
    the truth by bilinear interpolation or, if ``reduced``, the truth to theirs by taking the nearest pixel:
    much cheaper, and enough where the output is fine.
    """

    class_weights: tuple[float, ...] | None = None
    smoothing: float = 0.0
    auxiliary: float = 0.4
    reduced: bool = False
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
        scores, truth = matched(logits, semantic, reduced=self.reduced)
        weights = None if self.class_weights is None else scores.new_tensor(self.class_weights)
        total = F.cross_entropy(
            scores,
            truth,
            weight=weights,
            ignore_index=IGNORED,
            reduction="sum",
            label_smoothing=self.smoothing,
        )
        return total * (semantic.numel() / truth.numel())  # a pixel of a reduced map stands for several


@dataclass(slots=True)
class Dice:
    """One minus the soft Dice coefficient (Milletari et al. 2016), averaged over the classes in the truth.

    A ratio of sums is no sum over pixels: with several processes or micro-batches it is the mean of theirs.
    """

    weight: float = 1.0
    reduced: bool = False

    def __call__(self, output: PixelOutput, targets: Targets) -> dict[str, Tensor]:
        """The sum ``dice``: the value times the number of images."""
        scores, truth = matched(output.logits, targets.semantic, reduced=self.reduced)
        classes = scores.shape[1]
        valid = truth.ravel() != IGNORED
        # Pixels in rows, those without truth dropped: sums over classes then need no one-hot map.
        truth = truth.ravel()[valid]
        shares = scores.permute(0, 2, 3, 1).reshape(-1, classes)[valid].softmax(1)
        own = shares.gather(1, truth[:, None]).squeeze(1)
        both = torch.zeros(classes, device=own.device).index_add(0, truth, own)
        count = torch.bincount(truth, minlength=classes)
        coefficient = (2 * both + 1) / (shares.sum(0) + count + 1)
        present = count > 0
        value = ((1 - coefficient) * present).sum() / present.sum().clamp(min=1)
        return {"dice": self.weight * value * len(output.logits)}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of images."""
        return {"dice": torch.tensor(float(len(targets.semantic)), device=targets.semantic.device)}


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


def matched(
    logits: Float[Tensor, "images classes h w"],
    semantic: Int[Tensor, "images height width"],
    *,
    reduced: bool,
) -> tuple[Tensor, Tensor]:
    """Scores in float32 and truth in one size: that of the truth or, if ``reduced``, that of the scores."""
    if not reduced:
        return enlarge(logits.float(), semantic.shape[1:]), semantic
    nearest = F.interpolate(semantic[:, None].float(), size=logits.shape[2:], mode="nearest-exact")
    return logits.float(), nearest[:, 0].long()
