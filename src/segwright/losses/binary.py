"""Losses of sigmoid heads: binary and multi-label segmentation (one-vs-rest).

A head with one channel predicts class 1 of a label space with two classes. A head with several channels predicts
each class with its own channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import Output, PixelOutput, Targets
from segwright.losses.loss import SegmentationLoss, class_logits, image_count, valid_pixel_count
from segwright.losses.resolution import resize_to_match


@dataclass(slots=True)
class BinaryCrossEntropy(SegmentationLoss):
    """Binary cross entropy: the mean over the channels, averaged over the valid (not ignored) pixels.

    ``positive_weights``: one factor per channel for positive pixels, for classes that are rare. ``auxiliary_weight``:
    factor of the auxiliary heads. ``weight``: factor of the loss. ``at_output_resolution``: as in ``CrossEntropy``.
    """

    positive_weights: tuple[float, ...] | None = None
    auxiliary_weight: float = 0.4
    weight: float = 1.0
    at_output_resolution: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sums ``bce`` and, with auxiliary heads, ``auxiliary``."""
        sums = {"bce": self.weight * self._sum(class_logits(output), targets)}
        if isinstance(output, PixelOutput) and output.auxiliary:
            heads = [self._sum(logits, targets) for logits in output.auxiliary]
            sums["auxiliary"] = self.weight * self.auxiliary_weight * torch.stack(heads).sum()
        return sums

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of valid pixels."""
        count = valid_pixel_count(targets)
        return {"bce": count, "auxiliary": count}

    def _sum(self, logits: Tensor, targets: Targets) -> Tensor:
        semantic, ignored = targets.semantic, targets.ignore_index
        logits, target = resize_to_match(logits, semantic, at_output_resolution=self.at_output_resolution)
        binary_target, valid = _binary_target(logits, target, ignored)
        positive_weights = None
        if self.positive_weights is not None:
            positive_weights = logits.new_tensor(self.positive_weights).view(-1, 1, 1)
        losses = F.binary_cross_entropy_with_logits(
            logits, binary_target, pos_weight=positive_weights, reduction="none"
        )
        total = (losses.mean(1) * valid).sum()
        return total * (semantic.numel() / target.numel())  # one pixel of a small map stands for several


@dataclass(slots=True)
class SigmoidDice(SegmentationLoss):
    """One minus the soft Dice coefficient (Milletari et al., 3DV 2016), the mean over the channels.

    As ``pixel.Dice``, for sigmoid heads. ``weight``: factor of the loss. ``at_output_resolution``: as in
    ``CrossEntropy``.
    """

    weight: float = 1.0
    at_output_resolution: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``dice``: the value times the number of images; 0 without valid pixels."""
        logits, target = resize_to_match(
            class_logits(output), targets.semantic, at_output_resolution=self.at_output_resolution
        )
        binary_target, valid = _binary_target(logits, target, targets.ignore_index)
        probabilities = logits.sigmoid() * valid[:, None]
        intersection = (probabilities * binary_target).sum((0, 2, 3))
        total = (probabilities + binary_target).sum((0, 2, 3))
        value = (1 - (2 * intersection + 1) / (total + 1)).mean() * (valid.sum() > 0)
        return {"dice": self.weight * value * len(logits)}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of images."""
        return {"dice": image_count(targets)}


def _binary_target(logits: Tensor, target: Tensor, ignored: int) -> tuple[Tensor, Tensor]:
    """The target of each channel, 0 or 1 [N, C, H, W], 0 where ignored; and the valid pixels, 0 or 1 [N, H, W]."""
    first_class = 1 if logits.shape[1] == 1 else 0
    classes = torch.arange(logits.shape[1], device=target.device) + first_class
    binary_target = target[:, None] == classes.view(1, -1, 1, 1)
    return binary_target.to(logits.dtype), (target != ignored).to(logits.dtype)
