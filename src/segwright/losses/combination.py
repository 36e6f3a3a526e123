"""Losses made of other losses: the sum of several, and a loss on the auxiliary heads."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from segwright.contracts import Loss, Output, PixelOutput, Targets
from segwright.losses.loss import SegmentationLoss


@dataclass(slots=True)
class SumOfLosses(SegmentationLoss):
    """The sum of several losses. Each keeps its own ``weight`` and its own terms.

    ``ValueError`` if two losses have a term of the same name.
    """

    terms: tuple[Loss, ...]

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sums of all losses."""
        return _merged([loss(output, targets) for loss in self.terms])

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The counts of all losses."""
        return _merged([loss.counts(targets) for loss in self.terms])


@dataclass(slots=True)
class AuxiliaryLoss(SegmentationLoss):
    """``loss`` on every auxiliary head (deep supervision), for losses that use the main logits only.

    ``weight`` is the factor of each head. An output without auxiliary heads gives no terms.
    """

    loss: Loss
    weight: float = 0.4

    def __call__(self, output: PixelOutput, targets: Targets) -> dict[str, Tensor]:
        """The sums of ``loss`` over all heads; their names start with ``auxiliary_``."""
        sums: dict[str, Tensor] = {}
        for logits in output.auxiliary:
            for name, value in self.loss(PixelOutput(logits), targets).items():
                sums[f"auxiliary_{name}"] = sums.get(f"auxiliary_{name}", 0) + self.weight * value
        return sums

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The counts of ``loss``."""
        return {f"auxiliary_{name}": value for name, value in self.loss.counts(targets).items()}


def _merged(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    names = [name for part in parts for name in part]
    duplicates = {name for name in names if names.count(name) > 1}
    if duplicates:
        raise ValueError(
            f"loss: two terms are named {', '.join(sorted(duplicates))}; expected different names"
        )
    return {name: value for part in parts for name, value in part.items()}
