"""Any loss function of torch, of another library, or of your own, as a loss of a recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from segwright.contracts import Output, Targets
from segwright.losses.loss import SegmentationLoss, class_logits, valid_pixel_count
from segwright.losses.resolution import resize_to_match


@dataclass(slots=True)
class FunctionLoss(SegmentationLoss):
    """A callable ``loss(logits, target)`` that returns the mean over the valid pixels, as a loss of a recipe.

    ``function`` gets logits [N, C, H, W] in float32, upsampled to the size of the target, and the target [N, H, W]
    in int64. Ignored pixels have the value 255 (65535 for more than 255 classes): ``function`` must leave them out.
    Examples:
    ``nn.CrossEntropyLoss(ignore_index=255)``; ``DiceLoss("multiclass", ignore_index=255)`` of
    segmentation_models_pytorch; a function in your own file. A module is moved to the device of the logits.

    The mean is multiplied by the number of valid pixels and divided by it again later, over all micro-batches and
    processes. For a mean over pixels the result is exact; other values, such as Dice, become an average weighted by
    valid pixels. Without valid pixels the loss is 0 and ``function`` is not called.

    ``weight``: factor of the loss. ``name``: its name in logs; two losses of one sum need different names.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    weight: float = 1.0
    name: str = "loss"

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """One sum, called ``name``: the mean times the number of valid pixels."""
        logits, target = resize_to_match(class_logits(output), targets.semantic)
        valid = valid_pixel_count(targets)
        if not valid:  # the mean of nothing is NaN, and so is its gradient
            return {self.name: logits.sum() * 0}
        if isinstance(self.function, nn.Module):
            self.function.to(logits.device)  # class weights are buffers
        value = self.function(logits, target)
        if not isinstance(value, Tensor) or value.ndim:
            kind = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"loss {self.name!r} returned {kind}; expected a scalar tensor, the mean over pixels"
            )
        return {self.name: self.weight * value * valid}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of valid pixels."""
        return {self.name: valid_pixel_count(targets)}
