"""Class scores to class maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from segwright.contracts import PixelOutput
from segwright.labels import LabelSpace
from segwright.models.layers.resize import upsample
from segwright.samples import Prediction


@dataclass(slots=True)
class Argmax:
    """The class with the highest score at every pixel of the image, from logits enlarged to its size."""

    def __call__(
        self,
        output: PixelOutput,
        sizes: tuple[tuple[int, int], ...],
        padded: tuple[int, int],
        labels: LabelSpace,
    ) -> list[Prediction]:
        """One prediction an image: class indices uint8 [height, width], padding cut off."""
        logits = upsample(output.logits.float(), padded)
        classes = logits.argmax(1).to(torch.uint8).cpu().numpy()
        return [Prediction(np.ascontiguousarray(c[:h, :w])) for c, (h, w) in zip(classes, sizes, strict=True)]
