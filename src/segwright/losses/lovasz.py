"""Losses over regions: surrogates of the intersection over union. They are the mean over processes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import Output, Targets
from segwright.losses.pixel import class_logits, image_count, resize_to_match
from segwright.samples import IGNORED


@dataclass(slots=True)
class LovaszSoftmax:
    """The Lovasz extension of the Jaccard loss on class probabilities (Berman et al. 2018, algorithm 1; S1).

    The mean over the classes in the truth ("present"), over "all", or over those named by index;
    ``per_image``: of every image by itself. Images or batches without truth give 0.
    """

    classes: Literal["present", "all"] | tuple[int, ...] = "present"
    per_image: bool = False
    weight: float = 1.0
    align_corners: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``lovasz``: the value times the number of images."""
        logits = class_logits(output)
        scores, truth = resize_to_match(
            logits, targets.semantic, reduced=False, align_corners=self.align_corners
        )
        shares = scores.softmax(1)
        groups = zip(shares.unbind(), truth.unbind(), strict=True) if self.per_image else [(shares, truth)]
        values = [lovasz_softmax(*_pixels(a, b), classes=self.classes) for a, b in groups]
        return {"lovasz": self.weight * torch.stack(values).mean() * len(logits)}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of images."""
        return {"lovasz": image_count(targets)}


@dataclass(slots=True)
class LovaszHinge:
    """The Lovasz hinge (Yu and Blaschko 2015; S1) for sigmoid heads; of every image by itself, as published.

    One channel says whether a pixel is of class 1; several say so of their own class each and are averaged.
    """

    per_image: bool = True
    weight: float = 1.0
    align_corners: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``hinge``: the value times the number of images."""
        logits = class_logits(output)
        scores, truth = resize_to_match(
            logits, targets.semantic, reduced=False, align_corners=self.align_corners
        )
        first = 1 if scores.shape[1] == 1 else 0
        groups = zip(scores.unbind(), truth.unbind(), strict=True) if self.per_image else [(scores, truth)]
        values = []
        for own, classes in (_pixels(a, b) for a, b in groups):
            values += [lovasz_hinge(own[:, k], classes == k + first) for k in range(own.shape[1])]
        return {"hinge": self.weight * torch.stack(values).mean() * len(logits)}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of images."""
        return {"hinge": image_count(targets)}


def lovasz_softmax(
    shares: Float[Tensor, "pixels classes"],
    truth: Int[Tensor, " pixels"],
    *,
    classes: Literal["present", "all"] | Iterable[int] = "present",
) -> Tensor:
    """The loss of pixels with class probabilities and class indices; 0 without pixels or classes."""
    if classes == "present":
        wanted = [k for k in torch.unique(truth).tolist() if k < shares.shape[1]]
    else:
        wanted = list(range(shares.shape[1])) if classes == "all" else [int(k) for k in classes]
    if not wanted or not len(truth):
        return shares.sum() * 0
    return torch.stack(
        [_extension((own - shares[:, k]).abs(), own) for k, own in _each(truth, wanted, shares)]
    ).mean()


def lovasz_hinge(scores: Float[Tensor, " pixels"], truth: Tensor) -> Tensor:
    """The loss of pixels with one score and a yes or no (bool) each; 0 without pixels."""
    if not len(truth):
        return scores.sum() * 0
    errors = 1 - scores * (2 * truth.to(scores.dtype) - 1)
    return _extension(errors, truth.to(scores.dtype))


def lovasz_gradient(truth: Float[Tensor, " pixels"]) -> Float[Tensor, " pixels"]:
    """Gradient of the Lovasz extension with respect to errors in falling order, of pixels with 0 or 1."""
    total = truth.sum()
    jaccard = 1 - (total - truth.cumsum(0)) / (total + (1 - truth).cumsum(0))
    return torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])


def _extension(errors: Tensor, truth: Tensor) -> Tensor:
    ordered, order = errors.sort(descending=True)
    # Errors of probabilities are never negative, those of a hinge count from 0.
    return F.relu(ordered).dot(lovasz_gradient(truth[order]))


def _each(truth: Tensor, wanted: list[int], like: Tensor) -> Iterable[tuple[int, Tensor]]:
    return ((k, (truth == k).to(like.dtype)) for k in wanted)


def _pixels(scores: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels with truth in rows, of a batch or of one image: scores [P, C], classes [P]."""
    valid = truth.ravel() != IGNORED
    return scores.movedim(-3, -1).reshape(-1, scores.shape[-3])[valid], truth.ravel()[valid]
