"""Losses over pixels: cross entropy, focal loss, boundary-weighted cross entropy, and Dice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import Output, PixelOutput, Targets
from segwright.labels import IGNORED
from segwright.losses.loss import (
    SegmentationLoss,
    class_logits,
    image_count,
    pixel_weights,
    valid_pixel_count,
)
from segwright.losses.resolution import resize_to_match, subsample


@dataclass(slots=True)
class CrossEntropy(SegmentationLoss):
    """Cross entropy: a sum over the valid (not ignored) pixels, divided by their number.

    ``class_weights``: one weight per class, for imbalanced classes. ``label_smoothing``: this fraction of the target
    is spread over all classes. ``auxiliary_weight``: factor of the auxiliary heads. ``weight``: factor of the loss.

    ``at_output_resolution``: compare at the size of the output, with the label map downsampled to the nearest
    pixel. Otherwise logits are upsampled to the size of the label map, which costs much more; the difference is
    small for outputs of stride 4 or less. ``align_corners`` of that upsampling is true in the toolbox,
    Pytorch-Deeplab and panoptic-deeplab.

    Further options reproduce published results. ``label_stride``: only every ``label_stride``-th pixel counts (CSAIL:
    8 or 4). ``auxiliary_at_output_resolution``: as ``at_output_resolution`` for the auxiliary heads; None: the same.
    With ``auxiliary_weight`` 1, True gives the sum over scales of Pytorch-Deeplab and False its sum over
    refinements. ``normalize_by_weights``: divide by the sum of the pixels' class weights, as
    ``torch.nn.CrossEntropyLoss`` does (the MiniCity tutorial). ``use_pixel_weights``: multiply by the pixel weights
    of the targets, which are higher for small instances (panoptic-deeplab).
    """

    class_weights: tuple[float, ...] | None = None
    label_smoothing: float = 0.0
    auxiliary_weight: float = 0.4
    at_output_resolution: bool = False
    weight: float = 1.0
    align_corners: bool = False
    label_stride: int = 1
    auxiliary_at_output_resolution: bool | None = None
    normalize_by_weights: bool = False
    use_pixel_weights: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sums ``ce`` and, with auxiliary heads, ``auxiliary``."""
        small = self.at_output_resolution
        sums = {"ce": self.weight * self._sum(class_logits(output), targets, at_output_resolution=small)}
        if isinstance(output, PixelOutput) and output.auxiliary:
            if self.auxiliary_at_output_resolution is not None:
                small = self.auxiliary_at_output_resolution
            heads = [self._sum(logits, targets, at_output_resolution=small) for logits in output.auxiliary]
            sums["auxiliary"] = self.weight * self.auxiliary_weight * torch.stack(heads).sum()
        return sums

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of valid pixels or, with ``normalize_by_weights``, the sum of their class weights."""
        target = subsample(targets.semantic, self.label_stride, targets.ignore_index)
        valid = target != targets.ignore_index
        count = valid.sum().float()
        if self.normalize_by_weights and self.class_weights is not None:
            table = target.new_tensor(self.class_weights, dtype=torch.float32)
            count = table[target[valid].long()].sum()
        return {"ce": count, "auxiliary": count}

    def _sum(self, logits: Tensor, targets: Targets, *, at_output_resolution: bool) -> Tensor:
        semantic = subsample(targets.semantic, self.label_stride, targets.ignore_index)
        logits, target = resize_to_match(
            logits, semantic, at_output_resolution=at_output_resolution, align_corners=self.align_corners
        )
        class_weights = None if self.class_weights is None else logits.new_tensor(self.class_weights)
        losses = F.cross_entropy(
            logits,
            target,
            weight=class_weights,
            ignore_index=targets.ignore_index,
            reduction="none" if self.use_pixel_weights else "sum",
            label_smoothing=self.label_smoothing,
        )
        if self.use_pixel_weights:
            losses = (losses * pixel_weights(targets, tuple(target.shape[1:]))).sum()
        return losses * (semantic.numel() / target.numel())  # one pixel of a small map stands for several


@dataclass(slots=True)
class Focal(SegmentationLoss):
    """Focal loss (Lin et al., ICCV 2017): (1 - p)^gamma times the cross entropy, averaged over the valid pixels.

    p is the predicted probability of the true class. ``gamma`` 0 gives the cross entropy. ``class_weights`` is the
    paper's alpha, one per class. ``weight``, ``at_output_resolution``, ``align_corners``: as in ``CrossEntropy``.
    ``detach_factor``: the factor (1 - p)^gamma gets no gradient, as in the MiniCity tutorial; the value of the loss is
    the same.
    """

    gamma: float = 2.0
    class_weights: tuple[float, ...] | None = None
    weight: float = 1.0
    at_output_resolution: bool = False
    align_corners: bool = False
    detach_factor: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``focal``."""
        logits, target = resize_to_match(
            class_logits(output),
            targets.semantic,
            at_output_resolution=self.at_output_resolution,
            align_corners=self.align_corners,
        )
        ignored = targets.ignore_index
        entropy = F.cross_entropy(logits, target, ignore_index=ignored, reduction="none")
        # 1 - p, without cancellation for small entropies. It is kept above 0: 0 to a power below 1 has no gradient.
        error = (-torch.expm1(-entropy)).clamp(min=torch.finfo(entropy.dtype).tiny)
        factor = error.detach() ** self.gamma if self.detach_factor else error**self.gamma
        losses = factor * entropy
        if self.class_weights is not None:
            table = logits.new_tensor(self.class_weights)
            losses = losses * table[target.masked_fill(target == ignored, 0)]
        return {"focal": self.weight * losses.sum() * (targets.semantic.numel() / target.numel())}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of valid pixels."""
        return {"focal": valid_pixel_count(targets)}


@dataclass(slots=True)
class BoundaryCrossEntropy(SegmentationLoss):
    """Cross entropy with larger weights near borders between classes, divided by the sum of the weights.

    A pixel has the weight 1 + ``extra_weight`` * exp(-d^2 / (2 ``sigma``^2)), the form of U-Net (Ronneberger et al.,
    MICCAI 2015). d is the distance in pixels to the nearest pixel of another class, where a diagonal step counts 1.
    Ignored pixels make no border. ``class_weights``, ``weight``, ``align_corners``: as in ``CrossEntropy``.
    """

    extra_weight: float = 4.0
    sigma: float = 2.0
    class_weights: tuple[float, ...] | None = None
    weight: float = 1.0
    align_corners: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``boundary``."""
        logits, target = resize_to_match(
            class_logits(output), targets.semantic, align_corners=self.align_corners
        )
        class_weights = None if self.class_weights is None else logits.new_tensor(self.class_weights)
        ignored = targets.ignore_index
        losses = F.cross_entropy(logits, target, class_weights, ignore_index=ignored, reduction="none")
        return {"boundary": self.weight * (losses * self.weights(target, ignored)).sum()}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The sum of the weights of the valid pixels."""
        target, ignored = targets.semantic, targets.ignore_index
        return {"boundary": (self.weights(target, ignored) * (target != ignored)).sum()}

    def weights(
        self, target: Int[Tensor, "images height width"], ignored: int = IGNORED
    ) -> Float[Tensor, "images height width"]:
        """The weight of every pixel; ``ignored``: the ignore index."""
        max_distance = max(1, round(3 * self.sigma))
        near_border = _at_border(target, ignored)
        weights = torch.ones_like(near_border)
        for distance in range(1, max_distance + 1):
            extra = self.extra_weight * float(torch.exp(torch.tensor(-((distance / self.sigma) ** 2) / 2)))
            weights = torch.maximum(weights, 1 + extra * near_border)
            near_border = F.max_pool2d(near_border, 3, 1, 1)
        return weights


@dataclass(slots=True)
class Dice(SegmentationLoss):
    """One minus the soft Dice coefficient (Milletari et al., 3DV 2016), averaged over the classes in the target.

    Dice is a ratio of sums over a batch. With several processes or micro-batches the loss is the mean of their
    values. ``weight``, ``at_output_resolution``: as in ``CrossEntropy``.
    """

    weight: float = 1.0
    at_output_resolution: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``dice``: the value times the number of images."""
        logits, target = resize_to_match(
            class_logits(output), targets.semantic, at_output_resolution=self.at_output_resolution
        )
        images, classes = logits.shape[:2]
        valid = target != targets.ignore_index
        index = torch.where(valid, target, 0)
        # In one plane per class the softmax is several times faster on a CPU than in one row per pixel.
        probabilities = logits.contiguous().softmax(1) * valid[:, None]
        true_class = probabilities.gather(1, index[:, None])[:, 0]  # 0 where ignored
        # A sum per row of pixels first: a single float32 per class would round each of a million probabilities.
        rows = true_class.new_zeros(images * target.shape[1], classes)
        intersection = rows.scatter_add(1, index.flatten(0, 1), true_class.flatten(0, 1)).sum(0)
        pixels = torch.bincount(target[valid], minlength=classes)
        coefficient = (2 * intersection + 1) / (probabilities.sum((0, 2, 3)) + pixels + 1)
        present = pixels > 0
        value = ((1 - coefficient) * present).sum() / present.sum().clamp(min=1)
        return {"dice": self.weight * value * images}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of images."""
        return {"dice": image_count(targets)}


def _at_border(target: Tensor, ignored: int) -> Tensor:
    """1 where one of the eight neighbors has another class, float32 [N, H, W]."""
    valid = (target != ignored).float()
    # The smallest and the largest class around a pixel; ignored pixels get values that never win.
    smallest = -F.max_pool2d(-torch.where(target == ignored, ignored * 100, target).float(), 3, 1, 1)
    largest = F.max_pool2d(torch.where(target == ignored, -1, target).float(), 3, 1, 1)
    return valid * (smallest < largest).float()
