"""Scores of sigmoid heads to class maps: every channel answers yes or no by itself."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from segwright.contracts import PixelOutput
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.models.layers.resize import upsample
from segwright.samples import IGNORED, Prediction


@dataclass(slots=True)
class Threshold:
    """The class farthest above its ``threshold``, a probability: one for all channels, or one a channel.

    A single channel asks for class 1, and its no is class 0. Of several, a pixel that all of them deny has no class:
    255, an error wherever there is truth. Truth is one class a pixel; maps in which classes overlap are not read.
    """

    threshold: float | tuple[float, ...] = 0.5

    def __call__(
        self,
        output: PixelOutput,
        sizes: tuple[tuple[int, int], ...],
        padded: tuple[int, int],
        labels: LabelSpace,
    ) -> list[Prediction]:
        """One prediction an image: class indices uint8 [height, width], padding cut off."""
        above = self.above(output, padded)
        best, channels = above.max(1)
        found = (best > 0).long() if above.shape[1] == 1 else torch.where(best > 0, channels, IGNORED)
        classes, binary_masks = found.to(torch.uint8).cpu().numpy(), (above > 0).cpu().numpy()
        return [
            Prediction(np.ascontiguousarray(c[:h, :w]), binary_masks=np.ascontiguousarray(yes[:, :h, :w]))
            for c, yes, (h, w) in zip(classes, binary_masks, sizes, strict=True)
        ]

    def above(
        self, output: PixelOutput, padded: tuple[int, int]
    ) -> Float[Tensor, "images channels height width"]:
        """How far each channel is above its threshold, in log odds, at the size of the inputs."""
        logits = upsample(output.logits.float(), padded)
        given, channels = self.threshold, logits.shape[1]
        each = given if isinstance(given, tuple) else (given,) * channels
        if len(each) != channels or not all(0 < one < 1 for one in each):
            raise UserError(
                f"decoder.threshold is {given}; expected a probability between 0 and 1, or one for each of "
                f"{channels} channels"
            )
        return logits - logits.new_tensor([log(one / (1 - one)) for one in each]).view(-1, 1, 1)
