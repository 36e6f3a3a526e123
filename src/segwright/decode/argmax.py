"""The decoder of semantic segmentation: the class with the highest logit."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from segwright.contracts import PixelOutput
from segwright.decode.padding import remove_padding
from segwright.labels import LabelSpace
from segwright.models.layers.resize import upsample
from segwright.samples import Prediction


@dataclass(slots=True)
class Argmax:
    """The class with the highest logit at every pixel, from logits upsampled to the size of the image."""

    def __call__(
        self,
        output: PixelOutput,
        sizes: tuple[tuple[int, int], ...],
        padded: tuple[int, int],
        labels: LabelSpace,
    ) -> list[Prediction]:
        """One prediction per image: class indices uint8 [height, width], without the padding."""
        logits = upsample(output.logits.float(), padded)
        classes = logits.argmax(1).to(torch.uint8).cpu().numpy()
        return [Prediction(semantic) for semantic in remove_padding(classes, sizes)]
