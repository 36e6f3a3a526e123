"""Losses over the hardest pixels: OHEM and top-k.

The pixels are selected within one process and micro-batch. With several of them the loss is their mean. The selection
runs on the device of the logits; each call copies one number to the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import Output, Targets
from segwright.labels import IGNORED
from segwright.losses.loss import (
    SegmentationLoss,
    class_logits,
    image_count,
    pixel_weights,
    valid_pixel_count,
)
from segwright.losses.resolution import resize_to_match


@dataclass(slots=True)
class OHEM(SegmentationLoss):
    """Online hard example mining (Shrivastava et al., CVPR 2016): mean cross entropy of the hard pixels.

    A pixel is hard if the predicted probability of its true class is at most ``threshold``. The threshold is raised
    where necessary, until ``min_kept`` pixels are hard. The defaults are those of the toolbox's loss; its training
    script used 0.6 and 200,000.

    ``class_weights``: one weight per class; the mean is then divided by the weights of the hard pixels. ``weight``:
    factor of the loss. ``align_corners`` of the upsampling.

    Further options reproduce published results. ``downsampling``: find the threshold on maps downsampled by this
    factor, with ``min_kept`` divided by its square. The toolbox uses 8 and ``scipy.ndimage.zoom``. ``strict``: the
    variant of panoptic-deeplab. It keeps probabilities strictly below the threshold, and raises the threshold to
    the probability of the next pixel in the order. ``use_pixel_weights``: multiply the losses by the pixel weights
    of the targets (panoptic-deeplab).
    """

    threshold: float = 0.7
    min_kept: int = 100_000
    downsampling: int = 1
    strict: bool = False
    use_pixel_weights: bool = False
    class_weights: tuple[float, ...] | None = None
    weight: float = 1.0
    align_corners: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``ohem``: the mean over the hard pixels, times the number of images."""
        logits, target = resize_to_match(
            class_logits(output), targets.semantic, align_corners=self.align_corners
        )
        ignored = targets.ignore_index
        hard = self.hard_pixels(logits.detach(), target, ignored)
        hard_target = torch.where(hard, target, ignored)
        class_weights = None if self.class_weights is None else logits.new_tensor(self.class_weights)
        losses = F.cross_entropy(
            logits, hard_target, weight=class_weights, ignore_index=ignored, reduction="none"
        )
        if self.use_pixel_weights:
            losses = losses * pixel_weights(targets, tuple(target.shape[1:]))
        count = hard.sum() if class_weights is None else class_weights[target[hard]].sum()
        # Without hard pixels the denominator is 1: the loss and its gradient are then 0.
        value = losses.sum() / torch.where(count > 0, count, 1)
        return {"ohem": self.weight * value * len(logits)}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of images."""
        return {"ohem": image_count(targets)}

    @torch.no_grad()
    def hard_pixels(
        self,
        logits: Float[Tensor, "images classes height width"],
        target: Int[Tensor, "images height width"],
        ignored: int = IGNORED,
    ) -> Tensor:
        """The pixels that the loss keeps, bool [N, H, W]; ``ignored``: the ignore index."""
        probabilities = logits.softmax(1)
        true_class = _true_class_probability(probabilities, target, ignored)
        limit = self.limit(probabilities, target, ignored)
        return (target != ignored) & ((true_class < limit) if self.strict else (true_class <= limit))

    def limit(self, probabilities: Tensor, target: Tensor, ignored: int = IGNORED) -> float:
        """The threshold for class probabilities [N, C, H, W]; 1 if at most ``min_kept`` are valid."""
        if self.downsampling > 1:
            probabilities, target = _zoomed(probabilities, target, self.downsampling)
        valid = _true_class_probability(probabilities, target, ignored)[target != ignored]
        min_kept = self.min_kept // self.downsampling**2
        if not len(valid):
            return 1.0
        if self.strict:
            rank = min(min_kept, len(valid) - 1)
        elif min_kept >= len(valid):
            return 1.0
        else:
            rank = min_kept - 1
        if rank < 0:
            return self.threshold
        return max(self.threshold, valid.kthvalue(rank + 1).values.item())


@dataclass(slots=True)
class TopK(SegmentationLoss):
    """Mean cross entropy of the ``fraction`` of the pixels with the largest loss (hard pixel mining).

    ``of``: the fraction is of the "valid" pixels or of "all" pixels. "all" is the rule of panoptic-deeplab, where
    ignored pixels count with a loss of 0. ``use_pixel_weights``: multiply the losses by the pixel weights of the
    targets before they are compared (panoptic-deeplab). ``weight``: factor of the loss. ``align_corners`` of the
    upsampling.
    """

    fraction: float = 0.2
    of: Literal["valid", "all"] = "valid"
    use_pixel_weights: bool = False
    weight: float = 1.0
    align_corners: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``top``: the mean over the selected pixels, times the number of images."""
        logits, target = resize_to_match(
            class_logits(output), targets.semantic, align_corners=self.align_corners
        )
        losses = F.cross_entropy(logits, target, ignore_index=targets.ignore_index, reduction="none")
        if self.use_pixel_weights:
            losses = losses * pixel_weights(targets, tuple(target.shape[1:]))
        pixels = target.numel() if self.of == "all" else int(valid_pixel_count(targets).item())
        number = max(1, int(self.fraction * pixels))
        # Unsorted: only the mean matters.
        value = losses.ravel().topk(number, sorted=False).values.mean()
        return {"top": self.weight * value * len(logits)}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of images."""
        return {"top": image_count(targets)}


def _true_class_probability(probabilities: Tensor, target: Tensor, ignored: int) -> Tensor:
    """The probability of the true class [N, H, W]; of class 0 for ignored pixels."""
    return probabilities.gather(1, torch.where(target == ignored, 0, target)[:, None]).squeeze(1)


def _zoomed(probabilities: Tensor, target: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Both maps at 1 / ``factor`` of their size, as ``scipy.ndimage.zoom`` gives them.

    Probabilities are interpolated linearly, the target by the nearest pixel, both with aligned corners.
    """
    height, width = (round(side / factor) for side in target.shape[1:])
    small = F.interpolate(probabilities.double(), size=(height, width), mode="bilinear", align_corners=True)
    rows, columns = (
        (torch.arange(new, dtype=torch.float64) * ((old - 1) / max(new - 1, 1)) + 0.5).floor().long()
        for new, old in ((height, target.shape[1]), (width, target.shape[2]))
    )
    nearest = target[:, rows.to(target.device)][:, :, columns.to(target.device)]
    return small.to(probabilities.dtype), nearest
