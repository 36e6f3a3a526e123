"""The decoder of sigmoid heads: binary and multi-label segmentation (one-vs-rest)."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from segwright.contracts import PixelOutput
from segwright.decode.argmax import class_map_dtype
from segwright.decode.padding import remove_padding
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.models.layers.resize import upsample
from segwright.samples import Prediction


@dataclass(slots=True)
class Threshold:
    """Compares the probability of each channel with ``threshold``: one for all channels, or one per channel.

    A head with one channel predicts class 1; pixels below the threshold are class 0. A head with several channels has
    one per class. A pixel then gets the class that exceeds its threshold the most (in log odds). If no class does, it
    gets the ignore index, which counts as wrong wherever there is ground truth. ``Prediction.binary_masks`` holds the
    mask of each channel; these may overlap.
    """

    threshold: float | tuple[float, ...] = 0.5

    def __call__(
        self,
        output: PixelOutput,
        sizes: tuple[tuple[int, int], ...],
        padded: tuple[int, int],
        labels: LabelSpace,
    ) -> list[Prediction]:
        """One prediction per image: class indices [height, width] and binary masks, without the padding."""
        margin = self.margin(output, padded)
        best, channel = margin.max(1)
        several = torch.where(best > 0, channel, labels.ignore_index)
        classes = (best > 0).long() if margin.shape[1] == 1 else several
        semantic = remove_padding(classes.to(class_map_dtype(len(labels))).cpu().numpy(), sizes)
        binary_masks = remove_padding((margin > 0).cpu().numpy(), sizes)
        return [
            Prediction(image, binary_masks=masks) for image, masks in zip(semantic, binary_masks, strict=True)
        ]

    def margin(
        self, output: PixelOutput, padded: tuple[int, int]
    ) -> Float[Tensor, "images channels height width"]:
        """The log odds of each channel minus those of its threshold, at the size of the padded inputs."""
        logits = upsample(output.logits.float(), padded)
        channels = logits.shape[1]
        thresholds = self.threshold if isinstance(self.threshold, tuple) else (self.threshold,) * channels
        if len(thresholds) != channels or not all(0 < probability < 1 for probability in thresholds):
            raise UserError(
                f"decoder.threshold is {self.threshold}; expected a probability between 0 and 1, or one for each of "
                f"{channels} channels"
            )
        log_odds = [log(probability / (1 - probability)) for probability in thresholds]
        return logits - logits.new_tensor(log_odds).view(-1, 1, 1)
