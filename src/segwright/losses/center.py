"""The loss of Panoptic-DeepLab: classes, heat map of object centers, offsets, foreground."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import CenterOutput, CenterTargets, Loss, Output, PixelOutput, Targets
from segwright.labels import IGNORED
from segwright.losses.loss import SegmentationLoss
from segwright.losses.mining import TopK
from segwright.models.layers.centers import upsample_centers


def _hard_pixel_mining() -> Loss:
    return TopK(0.2, of="all", use_pixel_weights=True)


@dataclass(slots=True)
class CenterLoss(SegmentationLoss):
    """The loss of Panoptic-DeepLab (Cheng et al., CVPR 2020), with the weights of its reference implementation.

    ``semantic``: the loss of the class logits. The default is weighted cross entropy on the 20 % of the pixels with
    the largest loss. ``center_weight``: factor of the squared error of the heat map. ``offset_weight``: factor of the
    absolute error of the offsets, in pixels. ``foreground_weight``: factor of the binary cross entropy of the
    foreground head, for models that have one. All maps are upsampled to the size of the targets, with
    ``align_corners`` as in panoptic-deeplab; ``at_output_resolution`` of ``semantic`` changes nothing. The loss needs
    a ``CenterOutput`` and targets with centers (``PanopticTargets``).
    """

    semantic: Loss = field(default_factory=_hard_pixel_mining)
    center_weight: float = 200.0
    offset_weight: float = 0.01
    foreground_weight: float = 1.0
    align_corners: bool = True

    def __call__(self, output: CenterOutput, targets: Targets) -> dict[str, Tensor]:
        """The terms of ``semantic``, and the sums ``center``, ``offset`` and, with that head, ``foreground``."""
        centers = _center_targets(targets)
        height, width = targets.semantic.shape[1:]
        full = upsample_centers(output, (height, width), align_corners=self.align_corners)
        squared = (full.center - centers.center)[:, 0] ** 2
        absolute = (full.offset - centers.offset).abs().sum(1)
        sums = self.semantic(PixelOutput(full.semantic), targets)
        sums["center"] = self.center_weight * (squared * centers.center_weight).sum()
        sums["offset"] = self.offset_weight * (absolute * centers.offset_weight).sum()
        if full.foreground is not None:
            valid = centers.foreground != IGNORED
            logits = full.foreground[:, 0]
            mean = F.binary_cross_entropy_with_logits(logits, valid * centers.foreground.to(logits), valid)
            sums["foreground"] = self.foreground_weight * mean * valid.numel()
        return sums

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The counts of ``semantic``; the sum of the center weights; the pixels with offsets, twice; all pixels."""
        centers = _center_targets(targets)
        return self.semantic.counts(targets) | {
            "center": centers.center_weight.sum().float(),
            # Not the sum of the weights, which would undo weights that are relative to the size of the objects.
            "offset": 2 * (centers.offset_weight > 0).sum().float(),
            "foreground": (centers.foreground != IGNORED).sum().float(),
        }

    def mean(self, logits: Tensor | Output, target: Tensor | Targets) -> Tensor:
        """The loss of one batch, a scalar tensor: of a ``CenterOutput`` and ``Targets`` with centers."""
        if not isinstance(logits, CenterOutput) or not isinstance(target, Targets):
            raise ValueError(
                f"CenterLoss.mean got {type(logits).__name__} and {type(target).__name__}; expected a CenterOutput and "
                "Targets with centers (see PanopticTargets)"
            )
        return SegmentationLoss.mean(self, logits, target)  # super() does not work in dataclasses with slots


def _center_targets(targets: Targets) -> CenterTargets:
    if targets.centers is None:
        raise ValueError("targets hold classes only; expected centers, too; set targets to PanopticTargets")
    return targets.centers
