"""The base class of the losses, and the helpers that all of them share."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segwright.contracts import CenterOutput, Loss, Output, PixelOutput, QueryOutput, Targets
from segwright.labels import ignore_index


class SegmentationLoss:
    """Adds ``mean`` to a loss that has ``__call__`` (named sums) and ``counts`` (their denominators).

    The training loop uses only those two (the protocol ``contracts.Loss``): it adds sums and counts over all
    micro-batches and processes and divides once. ``mean`` divides for one batch, for a training loop of your own.
    """

    __slots__ = ()

    def mean(self: Loss, logits: Tensor | Output, target: Tensor | Targets) -> Tensor:
        """The loss of one batch: a scalar tensor with a gradient, on the device of ``logits``.

        ``logits``: a float tensor [N, C, h, w], or the output of a model. It is upsampled to the size of the target
        where the loss needs that. ``target``: class indices [N, H, W] of any integer dtype, 255 = ignored (65535 for
        more than 255 classes), or ``Targets``. The value is the sum over the terms of sum / count; a term without
        ground truth is 0.
        """
        output = _as_output(logits)
        targets = _as_targets(target, class_logits(output))
        sums, counts = self(output, targets), self.counts(targets)
        if not sums:  # an auxiliary loss without auxiliary heads
            return class_logits(output).sum() * 0
        return torch.stack([value / nonzero(counts[name]) for name, value in sums.items()]).sum()


def nonzero(counts: Tensor) -> Tensor:
    """The counts as denominators: 1 in place of 0, where there is no ground truth and the sum is 0."""
    return torch.where(counts > 0, counts, 1)


def class_logits(output: Output) -> Float[Tensor, "images classes h w"]:
    """The class logits per pixel; ``ValueError`` for a ``QueryOutput``, which has none."""
    if isinstance(output, QueryOutput):
        raise ValueError(
            "the model predicts masks of queries; expected class logits per pixel; use QueryLoss"
        )
    return output.semantic if isinstance(output, CenterOutput) else output.logits


def valid_pixel_count(targets: Targets) -> Tensor:
    """The number of pixels that are not ignored, float32: the count of losses that are sums over pixels."""
    return (targets.semantic != targets.ignore_index).sum().float()


def image_count(targets: Targets) -> Tensor:
    """The number of images, float32: the count of losses that are means over a batch."""
    return torch.tensor(float(len(targets.semantic)), device=targets.semantic.device)


def pixel_weights(targets: Targets, size: tuple[int, ...]) -> Float[Tensor, "images height width"]:
    """The weight of every pixel (``CenterTargets.semantic_weight``); ``ValueError`` if the targets have none."""
    if targets.centers is None:
        raise ValueError(
            "loss: use_pixel_weights needs weights, found targets without CenterTargets; use PanopticTargets"
        )
    if tuple(targets.semantic.shape[1:]) != size:
        raise ValueError(
            f"loss: use_pixel_weights found targets of size {tuple(targets.semantic.shape[1:])} for label maps of "
            f"size {size}; expected CenterTargets at full size"
        )
    return targets.centers.semantic_weight.float()


def _as_output(logits: Tensor | Output) -> Output:
    if not isinstance(logits, Tensor):
        return logits
    if logits.ndim != 4 or not logits.is_floating_point():
        raise ValueError(
            f"logits are {logits.dtype} {tuple(logits.shape)}; expected floating-point numbers [N, C, h, w]"
        )
    return PixelOutput(logits)


def _as_targets(target: Tensor | Targets, logits: Tensor) -> Targets:
    """The targets on the device of the logits, as int64."""
    if not isinstance(target, Targets):
        if target.ndim != 3 or target.is_floating_point() or target.is_complex():
            raise ValueError(
                f"target is {target.dtype} {tuple(target.shape)}; expected integer class indices [N, H, W]"
            )
        target = Targets(target.to(logits.device).long(), ignore_index=ignore_index(logits.shape[1]))
    if len(target.semantic) != len(logits):
        raise ValueError(
            f"target has {len(target.semantic)} images, logits have {len(logits)}; expected as many"
        )
    return target.to(logits.device)
