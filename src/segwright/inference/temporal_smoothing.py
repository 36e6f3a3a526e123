"""Class scores averaged over the frames of a video, so that classes flicker less."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from segwright.contracts import Model, Output, QueryOutput
from segwright.errors import UserError
from segwright.inference.fusion import Fusion, class_logits, resized_output, with_class_logits
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode, Size


@dataclass(slots=True)
class TemporalSmoothing:
    """The exponential average of class probabilities over the frames of a video, which are given one after the other.

    ``weight``: how much of the average stays at each frame, 0 to below 1; with 0.6 a frame counts 0.4, the frame before
    it 0.24, and so on. ``inference``: how the model is run on each frame. Maps of centers and offsets are not averaged.
    Of a query model for semantic segmentation, the class scores are averaged; other tasks are refused. Call ``restart``
    at a cut, or use one object per video; a frame of another size starts a new average.
    """

    weight: float = 0.6
    inference: InferenceMode = SINGLE_PASS
    _mean: Tensor | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the weight."""
        if not 0 <= self.weight < 1:
            raise UserError(f"the weight of temporal smoothing is {self.weight:g}; expected 0 to below 1")

    def restart(self) -> None:
        """Forget the frames so far."""
        self._mean = None

    def __call__(self, model: Model, images: Tensor, sizes: tuple[Size, ...]) -> tuple[Output, Size]:
        """The output for the next frame, a batch of one image; the logits are those of the averaged probabilities."""
        output, padded = self.inference(model, images, sizes)
        fusion = Fusion.of("probabilities", model, output)
        if isinstance(output, QueryOutput):  # its scores are no linear function of its masks
            output = resized_output(output, padded, align_corners=False)
        probabilities = fusion.probabilities(class_logits(output).float())
        if self._mean is not None and self._mean.shape == probabilities.shape:
            probabilities = probabilities.lerp(self._mean, self.weight)
        self._mean = probabilities
        return with_class_logits(output, fusion.logits(probabilities.clone())), padded
