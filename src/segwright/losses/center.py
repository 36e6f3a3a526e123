"""Losses of Panoptic-DeepLab: classes, heat map of centers, offsets, foreground."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import CenterOutput, CenterTargets, Loss, PixelOutput, Targets
from segwright.losses.mining import TopK
from segwright.models.layers.centers import upsample_centers
from segwright.samples import IGNORED


def _hardest() -> Loss:
    return TopK(0.2, of="all", weighted=True)


@dataclass(slots=True)
class CenterLoss:
    """The loss of Panoptic-DeepLab (Cheng et al., CVPR 2020), with the weights of S5.

    ``semantic``: a loss over pixels for the class scores, S5's 20 % with the largest weighted cross entropy unless
    given. ``center`` weighs the squared error of the heat map, ``offset`` the absolute error of the offsets,
    ``foreground`` the binary cross entropy of that head where a model has it. Maps are brought to the size of the
    truth first, with ``align_corners`` as S5 does.
    """

    semantic: Loss = field(default_factory=_hardest)
    center: float = 200.0
    offset: float = 0.01
    foreground: float = 1.0
    align_corners: bool = True

    def __call__(self, output: CenterOutput, targets: Targets) -> dict[str, Tensor]:
        """The terms of ``semantic``, and the sums ``center``, ``offset`` and, with that head, ``foreground``."""
        truth = _centers(targets)
        height, width = targets.semantic.shape[1:]
        full = upsample_centers(output, (height, width), align_corners=self.align_corners)
        squared = (full.center - truth.center)[:, 0] ** 2
        absolute = (full.offset - truth.offset).abs().sum(1)
        sums = self.semantic(PixelOutput(full.semantic), targets)
        sums["center"] = self.center * (squared * truth.center_weight).sum()
        sums["offset"] = self.offset * (absolute * truth.offset_weight).sum()
        if full.foreground is not None:
            known = truth.foreground != IGNORED
            scores = full.foreground[:, 0]
            errors = F.binary_cross_entropy_with_logits(scores, known * truth.foreground.to(scores), known)
            sums["foreground"] = self.foreground * errors * known.numel()
        return sums

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """Those of ``semantic``; sums of weights, for offsets over both directions; pixels of the image."""
        truth = _centers(targets)
        return self.semantic.counts(targets) | {
            "center": truth.center_weight.sum().float(),
            "offset": 2 * truth.offset_weight.sum().float(),
            "foreground": (truth.foreground != IGNORED).sum().float(),
        }


def _centers(targets: Targets) -> CenterTargets:
    if targets.centers is None:
        raise ValueError("targets hold classes only; expected centers too; set targets to PanopticTargets")
    return targets.centers
