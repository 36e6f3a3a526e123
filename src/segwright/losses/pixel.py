"""Losses over pixels. Each gives named sums, and the counts that turn them into means."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import CenterOutput, Loss, Output, PixelOutput, Targets
from segwright.models.layers.resize import upsample
from segwright.samples import IGNORED


@dataclass(slots=True)
class CrossEntropy:
    """Cross entropy, a sum over pixels with truth.

    ``class_weights`` weigh pixels by their class; ``smoothing`` spreads that share of the truth over all
    classes; ``auxiliary`` weighs the auxiliary heads, ``weight`` the whole. Scores are brought to the size of
    the truth by bilinear interpolation or, if ``reduced``, the truth to theirs by taking the nearest pixel:
    much cheaper, and enough where the output is fine.

    What differs between ancestors: ``align_corners`` of the interpolation (S1, S3, S5 true); ``rate``: the
    truth is first thinned to every rate-th pixel, which alone then count (S2: 8 or 4); ``reduced_auxiliary``:
    of the auxiliary scores, if not as ``reduced`` (S3's scales true; with ``auxiliary`` 1 that is its sum over
    scales, and without ``reduced_auxiliary`` its sum over refinements); ``per_weight``: divided by the weights
    of the pixels and not by their number (S4's weighted form); ``weighted``: pixels of small instances count
    more, as the targets say (S5).
    """

    class_weights: tuple[float, ...] | None = None
    smoothing: float = 0.0
    auxiliary: float = 0.4
    reduced: bool = False
    weight: float = 1.0
    align_corners: bool = False
    rate: int = 1
    reduced_auxiliary: bool | None = None
    per_weight: bool = False
    weighted: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sums ``ce`` and, with auxiliary heads, ``auxiliary``."""
        sums = {"ce": self.weight * self._sum(class_logits(output), targets, reduced=self.reduced)}
        if isinstance(output, PixelOutput) and output.auxiliary:
            reduced = self.reduced if self.reduced_auxiliary is None else self.reduced_auxiliary
            parts = [self._sum(logits, targets, reduced=reduced) for logits in output.auxiliary]
            sums["auxiliary"] = self.weight * self.auxiliary * torch.stack(parts).sum()
        return sums

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of pixels with truth or, ``per_weight``, the sum of their weights."""
        truth = subsample(targets.semantic, self.rate)
        valid = (truth != IGNORED).sum().float()
        if self.per_weight and self.class_weights is not None:
            table = truth.new_tensor(self.class_weights, dtype=torch.float32)
            valid = table[truth[truth != IGNORED].long()].sum()
        return {"ce": valid, "auxiliary": valid}

    def _sum(self, logits: Tensor, targets: Targets, *, reduced: bool) -> Tensor:
        semantic = subsample(targets.semantic, self.rate)
        scores, truth = resize_to_match(logits, semantic, reduced=reduced, align_corners=self.align_corners)
        weights = None if self.class_weights is None else scores.new_tensor(self.class_weights)
        total = F.cross_entropy(
            scores,
            truth,
            weight=weights,
            ignore_index=IGNORED,
            reduction="none" if self.weighted else "sum",
            label_smoothing=self.smoothing,
        )
        if self.weighted:
            total = (total * pixel_weights(targets, tuple(truth.shape[1:]))).sum()
        return total * (semantic.numel() / truth.numel())  # a pixel of a reduced map stands for several


@dataclass(slots=True)
class Focal:
    """Focal loss (Lin et al. 2017), (1 - p)^gamma times the cross entropy, a sum over pixels with truth.

    ``class_weights`` are the paper's alpha, one a class. ``constant_factor``: no gradient through
    (1 - p)^gamma, as S4 computed it; the value is the same.
    """

    gamma: float = 2.0
    class_weights: tuple[float, ...] | None = None
    weight: float = 1.0
    reduced: bool = False
    align_corners: bool = False
    constant_factor: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``focal``."""
        logits = class_logits(output)
        scores, truth = resize_to_match(
            logits, targets.semantic, reduced=self.reduced, align_corners=self.align_corners
        )
        entropy = F.cross_entropy(scores, truth, ignore_index=IGNORED, reduction="none")
        # 1 - p without the cancellation of small entropies; where it is 0 a power below 1 has no gradient.
        missed = (-torch.expm1(-entropy)).clamp(min=torch.finfo(entropy.dtype).tiny)
        factor = missed.detach() ** self.gamma if self.constant_factor else missed**self.gamma
        each = factor * entropy
        if self.class_weights is not None:
            each = each * scores.new_tensor(self.class_weights)[truth.masked_fill(truth == IGNORED, 0)]
        return {"focal": self.weight * each.sum() * (targets.semantic.numel() / truth.numel())}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of pixels with truth."""
        return {"focal": (targets.semantic != IGNORED).sum().float()}


@dataclass(slots=True)
class BoundaryCrossEntropy:
    """Cross entropy with more weight near borders between classes, divided by the sum of the weights.

    The weight is 1 + ``extra`` exp(-(d / ``width``)^2 / 2) (the form of Ronneberger et al. 2015), d being the
    number of steps, diagonal ones too, to the next pixel of another class; ignored pixels make no border.
    """

    extra: float = 4.0
    width: float = 2.0
    class_weights: tuple[float, ...] | None = None
    weight: float = 1.0
    align_corners: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``boundary``."""
        scores, truth = resize_to_match(
            class_logits(output), targets.semantic, reduced=False, align_corners=self.align_corners
        )
        weights = None if self.class_weights is None else scores.new_tensor(self.class_weights)
        each = F.cross_entropy(scores, truth, weight=weights, ignore_index=IGNORED, reduction="none")
        return {"boundary": self.weight * (each * self.weights(truth)).sum()}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The sum of the weights of pixels with truth."""
        truth = targets.semantic
        return {"boundary": (self.weights(truth) * (truth != IGNORED)).sum()}

    def weights(self, truth: Int[Tensor, "images height width"]) -> Float[Tensor, "images height width"]:
        """The weight of every pixel."""
        reach = max(1, round(3 * self.width))
        near = _beside_a_border(truth)
        weights = torch.ones_like(near)
        for distance in range(1, reach + 1):
            own = self.extra * float(torch.exp(torch.tensor(-((distance / self.width) ** 2) / 2)))
            weights = torch.maximum(weights, 1 + own * near)
            near = F.max_pool2d(near, 3, 1, 1)
        return weights


@dataclass(slots=True)
class Dice:
    """One minus the soft Dice coefficient (Milletari et al. 2016), averaged over the classes in the truth.

    A ratio of sums is no sum over pixels: with several processes or micro-batches it is the mean of theirs.
    """

    weight: float = 1.0
    reduced: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``dice``: the value times the number of images."""
        logits = class_logits(output)
        scores, truth = resize_to_match(logits, targets.semantic, reduced=self.reduced)
        classes = scores.shape[1]
        valid = truth.ravel() != IGNORED
        # Pixels in rows, those without truth dropped: sums over classes then need no one-hot map.
        truth = truth.ravel()[valid]
        shares = scores.permute(0, 2, 3, 1).reshape(-1, classes)[valid].softmax(1)
        own = shares.gather(1, truth[:, None]).squeeze(1)
        both = torch.zeros(classes, dtype=own.dtype, device=own.device).index_add(0, truth, own)
        count = torch.bincount(truth, minlength=classes)
        coefficient = (2 * both + 1) / (shares.sum(0) + count + 1)
        present = count > 0
        value = ((1 - coefficient) * present).sum() / present.sum().clamp(min=1)
        return {"dice": self.weight * value * len(logits)}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of images."""
        return {"dice": image_count(targets)}


@dataclass(slots=True)
class AuxiliaryLoss:
    """``loss`` on every auxiliary head, ``weight`` times; for losses that look at the main scores alone."""

    loss: Loss
    weight: float = 0.4

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The terms of ``loss``, named ``auxiliary_...``, summed over the heads; none without heads."""
        sums: dict[str, Tensor] = {}
        for logits in output.auxiliary if isinstance(output, PixelOutput) else ():
            for name, value in self.loss(PixelOutput(logits), targets).items():
                sums[f"auxiliary_{name}"] = sums.get(f"auxiliary_{name}", 0) + self.weight * value
        return sums

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The counts of ``loss``."""
        return {f"auxiliary_{name}": value for name, value in self.loss.counts(targets).items()}


@dataclass(slots=True)
class SumOfLosses:
    """Several losses together, of different terms: ``ValueError`` where two have a term of one name."""

    terms: tuple[Loss, ...]

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The terms of all."""
        return _united([term(output, targets) for term in self.terms])

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The counts of all."""
        return _united([term.counts(targets) for term in self.terms])


def _united(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    names = [name for part in parts for name in part]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"loss: two terms are named {', '.join(sorted(twice))}; expected one of each")
    return {name: value for part in parts for name, value in part.items()}


def class_logits(output: Output) -> Float[Tensor, "images classes h w"]:
    """The class scores of either kind of output."""
    return output.semantic if isinstance(output, CenterOutput) else output.logits


def image_count(targets: Targets) -> Tensor:
    """The number of images, as a count: of losses that are means of a batch."""
    return torch.tensor(float(len(targets.semantic)), device=targets.semantic.device)


def pixel_weights(targets: Targets, size: tuple[int, ...]) -> Float[Tensor, "images height width"]:
    """How much a pixel of the truth counts; ``ValueError`` where the targets or their size do not say."""
    if targets.centers is None or tuple(targets.semantic.shape[1:]) != size:
        raise ValueError(
            "loss: weighted wants targets of instances, at their full size; expected CenterTargets"
        )
    return targets.centers.semantic_weight.float()


def subsample(semantic: Tensor, rate: int) -> Tensor:
    """Every ``rate``-th pixel of maps [N, H, W], from the middle of the first cell; cut cells may be ignored."""
    if rate == 1:
        return semantic
    rows, columns = (-side % rate for side in semantic.shape[1:])
    whole = F.pad(semantic, (0, columns, 0, rows), value=IGNORED)
    return whole[:, rate // 2 :: rate, rate // 2 :: rate]


def resize_to_match(
    logits: Float[Tensor, "images classes h w"],
    semantic: Int[Tensor, "images height width"],
    *,
    reduced: bool,
    align_corners: bool = False,
) -> tuple[Tensor, Tensor]:
    """Scores in float32 (or 64) and truth in one size: that of the truth or, if ``reduced``, of the scores."""
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if not reduced:
        return upsample(logits, semantic.shape[1:], align_corners=align_corners), semantic
    nearest = F.interpolate(semantic[:, None].float(), size=logits.shape[2:], mode="nearest-exact")
    return logits, nearest[:, 0].long()


def _beside_a_border(truth: Tensor) -> Tensor:
    """1 where one of the eight neighbors has another class, float32 [N, H, W]."""
    known = (truth != IGNORED).float()
    # The least and the largest class around a pixel, void out of the way.
    least = -F.max_pool2d(-torch.where(truth == IGNORED, IGNORED * 1000, truth).float(), 3, 1, 1)
    largest = F.max_pool2d(torch.where(truth == IGNORED, -1, truth).float(), 3, 1, 1)
    return known * (least < largest).float()
