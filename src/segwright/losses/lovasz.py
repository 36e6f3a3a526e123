"""Lovasz losses: surrogates of the intersection over union. With several processes the loss is their mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import Output, Targets
from segwright.losses.loss import SegmentationLoss, class_logits, image_count
from segwright.losses.resolution import resize_to_match


@dataclass(slots=True)
class LovaszSoftmax(SegmentationLoss):
    """Lovasz-Softmax (Berman et al., CVPR 2018, algorithm 1): an extension of 1 - IoU to class probabilities.

    It is averaged over ``classes``: those in the target ("present"), "all", or some given by class index.
    ``per_image``: compute the loss of each image and average, instead of one loss per batch. ``weight``: factor of
    the loss. ``align_corners`` of the upsampling. Without valid pixels the loss is 0.
    """

    classes: Literal["present", "all"] | tuple[int, ...] = "present"
    per_image: bool = False
    weight: float = 1.0
    align_corners: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``lovasz``: the value times the number of images."""
        logits, target = resize_to_match(
            class_logits(output), targets.semantic, align_corners=self.align_corners
        )
        values = [
            lovasz_softmax(*_valid_pixels(probabilities, classes, targets.ignore_index), classes=self.classes)
            for probabilities, classes in _groups(logits.softmax(1), target, per_image=self.per_image)
        ]
        return {"lovasz": self.weight * torch.stack(values).mean() * len(logits)}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of images."""
        return {"lovasz": image_count(targets)}


@dataclass(slots=True)
class LovaszHinge(SegmentationLoss):
    """The Lovasz hinge (Yu and Blaschko, ICML 2015) for sigmoid heads.

    A head with one channel predicts class 1. With several channels, one per class, the loss is their mean.
    ``per_image``, as in the paper: compute the loss of each image and average. ``weight``: factor of the loss.
    ``align_corners`` of the upsampling. Without valid pixels the loss is 0.
    """

    per_image: bool = True
    weight: float = 1.0
    align_corners: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``hinge``: the value times the number of images."""
        logits, target = resize_to_match(
            class_logits(output), targets.semantic, align_corners=self.align_corners
        )
        first_class = 1 if logits.shape[1] == 1 else 0
        values = []
        for group in _groups(logits, target, per_image=self.per_image):
            scores, classes = _valid_pixels(*group, targets.ignore_index)
            values += [lovasz_hinge(scores[:, k], classes == k + first_class) for k in range(scores.shape[1])]
        return {"hinge": self.weight * torch.stack(values).mean() * len(logits)}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of images."""
        return {"hinge": image_count(targets)}


def lovasz_softmax(
    probabilities: Float[Tensor, "pixels classes"],
    target: Int[Tensor, " pixels"],
    *,
    classes: Literal["present", "all"] | Iterable[int] = "present",
) -> Tensor:
    """The Lovasz-Softmax loss of pixels with class probabilities and class indices; 0 without pixels or classes."""
    if classes == "present":
        wanted = [k for k in torch.unique(target).tolist() if k < probabilities.shape[1]]
    else:
        wanted = list(range(probabilities.shape[1])) if classes == "all" else [int(k) for k in classes]
    if not wanted or not len(target):
        return probabilities.sum() * 0
    masks = ((k, (target == k).to(probabilities.dtype)) for k in wanted)
    return torch.stack(
        [_lovasz_extension((mask - probabilities[:, k]).abs(), mask) for k, mask in masks]
    ).mean()


def lovasz_hinge(scores: Float[Tensor, " pixels"], target: Tensor) -> Tensor:
    """The Lovasz hinge of pixels with one score and a binary target (bool) each; 0 without pixels."""
    if not len(target):
        return scores.sum() * 0
    errors = 1 - scores * (2 * target.to(scores.dtype) - 1)
    return _lovasz_extension(errors, target.to(scores.dtype))


def lovasz_gradient(target: Float[Tensor, " pixels"]) -> Float[Tensor, " pixels"]:
    """Gradient of the Lovasz extension with respect to the errors, for targets 0 or 1 sorted by decreasing error."""
    total = target.sum()
    intersection, union = total - target.cumsum(0), total + (1 - target).cumsum(0)
    # The gradient consists of differences of 1 - intersection / union. Subtracting would cancel most digits of float32.
    steps = torch.where(target > 0, 1 / union, intersection / (union * (union - 1)).clamp(min=1))
    return torch.cat([1 / union[:1], steps[1:]])


def _lovasz_extension(errors: Tensor, target: Tensor) -> Tensor:
    errors, order = errors.sort(descending=True)
    # Errors of probabilities are never negative. Negative errors of a hinge count as 0.
    return F.relu(errors).dot(lovasz_gradient(target[order]))


def _groups(scores: Tensor, target: Tensor, *, per_image: bool) -> Iterable[tuple[Tensor, Tensor]]:
    """Each image of a batch, or the batch."""
    return zip(scores.unbind(), target.unbind(), strict=True) if per_image else [(scores, target)]


def _valid_pixels(scores: Tensor, target: Tensor, ignored: int) -> tuple[Tensor, Tensor]:
    """The valid pixels of a batch or an image, one per row: scores [P, C], class indices [P]."""
    valid = target.ravel() != ignored
    return scores.movedim(-3, -1).reshape(-1, scores.shape[-3])[valid], target.ravel()[valid]
