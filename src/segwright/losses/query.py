"""The loss of query models: match queries and true masks, then compare classes and masks (Mask2Former, EoMT)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import MaskTargets, Output, QueryOutput, Targets
from segwright.losses.loss import SegmentationLoss, nonzero
from segwright.losses.mask_terms import Matched, sum_in_parts
from segwright.losses.matching import MaskCosts, match
from segwright.losses.points import (
    random_points,
    rows_at_once,
    sample_logits,
    sample_logits_together,
    sample_masks,
    sample_masks_together,
    uncertain_points,
)

Pairs = tuple[Tensor, Tensor]  # positions of matched queries and of their masks, in one image


@dataclass(slots=True)
class QueryLoss(SegmentationLoss):
    """The loss of Mask2Former (Cheng et al., CVPR 2022) and EoMT, for the final output and each auxiliary one.

    Queries and true masks are matched by the same three terms that are then trained: cross entropy of the classes,
    where queries without a mask count ``no_object_weight``; binary cross entropy and Dice of the masks, at ``points``
    points. The fraction ``importance`` of the points lies where the prediction is uncertain, chosen among
    ``oversample`` times as many. ``queries`` is the number of queries of the model: the mean over them is taken over
    all processes at once. The masks are compared without ever being created, see ``points``.

    ``void``: whether points without ground truth are "ignored", or "background" of all masks as in EoMT. With more
    masks than queries in an image, some masks are not trained; a warning tells how many. ``class_weight``,
    ``mask_weight`` and ``dice_weight`` are the factors of the three terms.
    """

    queries: int = 100
    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    no_object_weight: float = 0.1
    points: int = 12544
    oversample: float = 3.0
    importance: float = 0.75
    void: Literal["ignored", "background"] = "ignored"

    def __call__(self, output: QueryOutput, targets: Targets) -> dict[str, Tensor]:
        """The sums ``class``, ``mask`` and ``dice`` over all outputs; ``ValueError`` for another number of queries."""
        masks = _mask_targets(targets)
        if output.masks.shape[1] != self.queries:
            raise ValueError(
                f"loss.queries is {self.queries}, the model has {output.masks.shape[1]}; expected the same number"
            )
        self._warn(masks)
        outputs = [*output.auxiliary, (output.masks, output.classes)]
        terms = [self._terms(logits.float(), classes.float(), masks) for logits, classes in outputs]
        return {name: torch.stack([each[name] for each in terms]).sum() for name in terms[0]}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The weights of all queries, and the numbers of masks."""
        masks = _mask_targets(targets)
        matched = sum(min(len(classes), self.queries) for classes in masks.classes)
        others = self.queries * len(masks.classes) - matched
        values = torch.tensor(
            [matched + self.no_object_weight * others, sum(map(len, masks.classes))],
            device=masks.index.device,
        )
        return {"class": values[0], "mask": values[1], "dice": values[1]}

    def mean(self, logits: Tensor | Output, target: Tensor | Targets) -> Tensor:
        """The loss of one batch, a scalar tensor: of a ``QueryOutput`` and ``Targets`` with masks."""
        if not isinstance(logits, QueryOutput) or not isinstance(target, Targets):
            raise ValueError(
                f"QueryLoss.mean got {type(logits).__name__} and {type(target).__name__}; expected a QueryOutput and "
                "Targets with masks (see QueryTargets)"
            )
        target = target.to(logits.masks.device)
        sums, counts = self(logits, target), self.counts(target)
        return torch.stack([value / nonzero(counts[name]) for name, value in sums.items()]).sum()

    def _warn(self, masks: MaskTargets) -> None:
        excess = [len(classes) - self.queries for classes in masks.classes if len(classes) > self.queries]
        if excess:
            warnings.warn(
                f"{sum(excess)} masks in {len(excess)} images are not trained: the model has {self.queries} queries; "
                "raise model.queries and loss.queries",
                stacklevel=3,
            )

    def _terms(self, logits: Tensor, classes: Tensor, masks: MaskTargets) -> dict[str, Tensor]:
        """The three sums for one output."""
        pairs = [self._pairs(logits[i], classes[i], masks, i) for i in range(len(logits))]
        entropy, dice = self._mask_terms(logits, pairs, masks)
        return {"class": self._class_term(classes, pairs, masks), "mask": entropy, "dice": dice}

    @torch.no_grad()
    def _pairs(self, logits: Tensor, classes: Tensor, masks: MaskTargets, image: int) -> Pairs:
        """The matching of one image."""
        true, points = masks.classes[image], random_points(self.points, logits.device)
        if not len(true):
            return true, true
        costs, count = MaskCosts(), rows_at_once(len(logits) + len(true), logits.device)
        predicted = sample_logits_together(logits, points)
        for own, part in zip(torch.split(predicted, count, 1), torch.split(points, count), strict=True):
            targets, weights = sample_masks_together(masks, image, part)
            costs.add(own, targets, self._weights(weights))
        cost = self.mask_weight * costs.entropy() + self.dice_weight * costs.dice()
        return match(cost - self.class_weight * classes.softmax(-1)[:, true])

    def _weights(self, weights: Tensor) -> Tensor:
        return weights if self.void == "ignored" else torch.ones_like(weights)

    def _class_term(self, classes: Tensor, pairs: Sequence[Pairs], masks: MaskTargets) -> Tensor:
        last = classes.shape[2] - 1
        target = torch.full(classes.shape[:2], last, device=classes.device)
        for image, (queries, positions) in enumerate(pairs):
            target[image, queries] = masks.classes[image][positions]
        weights = classes.new_ones(last + 1)
        weights[last] = self.no_object_weight
        return self.class_weight * F.cross_entropy(classes.mT, target, weights, reduction="sum")

    def _mask_terms(self, logits: Tensor, pairs: Sequence[Pairs], masks: MaskTargets) -> Tensor:
        """The sums of binary cross entropy and Dice over the matched masks of all images."""
        images = torch.repeat_interleave(torch.tensor([len(queries) for queries, _ in pairs]))
        if not len(images):
            return (logits.sum() * 0).expand(2)
        matched = Matched(images.to(logits.device), *(torch.cat(each) for each in zip(*pairs, strict=True)))
        options = {"oversample": self.oversample, "importance": self.importance}

        def compare(own: Tensor, part: slice) -> Tensor:
            points = uncertain_points(own, self.points, **options)
            targets, weights = sample_masks(masks, matched.images[part], matched.masks[part], points)
            predicted = sample_logits(own, points)
            return torch.stack(self._compared(predicted, targets, self._weights(weights)))

        rows = rows_at_once(int(2 * self.oversample * self.points), logits.device)
        return sum_in_parts(logits, matched, compare, rows=rows)

    def _compared(self, predicted: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The sums of binary cross entropy and Dice over masks [masks, points]."""
        entropy = F.binary_cross_entropy_with_logits(predicted, targets, weights, reduction="none").sum(1)
        probabilities, true = predicted.sigmoid() * weights, targets * weights
        common = 2 * (probabilities * targets).sum(1)
        dice = 1 - (common + 1) / (probabilities.sum(1) + true.sum(1) + 1)
        mean_entropy = entropy / weights.sum(1).clamp(min=1e-6)
        return self.mask_weight * mean_entropy.sum(), self.dice_weight * dice.sum()


def _mask_targets(targets: Targets) -> MaskTargets:
    if targets.masks is None:
        raise ValueError("targets hold no masks; expected some; set targets to QueryTargets")
    return targets.masks
