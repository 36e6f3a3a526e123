"""How sure a model is at every pixel: confidence, entropy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import log
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from segwright.contracts import CenterOutput, Decoder
from segwright.decode.binary import Threshold
from segwright.decode.default import DefaultDecoder, inner_decoder
from segwright.labels import LabelSpace
from segwright.models.layers.resize import upsample
from segwright.samples import IGNORED, Prediction, UncertaintyMaps

_ROWS = 128  # computed at a time: probabilities of all classes and pixels need not fit into memory


@dataclass(slots=True)
class WithUncertainty:
    """The predictions of another decoder with ``Prediction.uncertainty``: confidence and entropy of every pixel.

    Class probabilities are the softmax of the logits at the size of the image. Those of a sigmoid head are independent:
    the entropy is then the mean of the entropies of its channels, in bits, and the confidence is the probability of the
    predicted class, for class 0 of a head with one channel that of its absence.
    """

    decoder: Decoder = field(default_factory=DefaultDecoder)

    def __call__(
        self, output: Any, sizes: tuple[tuple[int, int], ...], padded: tuple[int, int], labels: LabelSpace
    ) -> list[Prediction]:
        """One prediction per image, without the padding."""
        inner = inner_decoder(self.decoder)
        if isinstance(inner, DefaultDecoder):
            inner = inner.chosen(output, labels)
        logits = output.semantic if isinstance(output, CenterOutput) else output.logits
        aligned = getattr(inner, "align_corners", False)
        logits = upsample(logits.float(), padded, align_corners=aligned)
        predictions = self.decoder(output, sizes, padded, labels)
        return [
            replace(
                prediction,
                uncertainty=_uncertainty(
                    image[:, :height, :width], prediction, sigmoid=isinstance(inner, Threshold)
                ),
            )
            for image, prediction, (height, width) in zip(logits, predictions, sizes, strict=True)
        ]


def _uncertainty(
    logits: Float[Tensor, "channels height width"], prediction: Prediction, *, sigmoid: bool
) -> UncertaintyMaps:
    classes = torch.from_numpy(prediction.semantic.astype(np.int64)).to(logits.device)
    parts = [
        _of_rows(logits[:, start : start + _ROWS], classes[start : start + _ROWS], sigmoid=sigmoid)
        for start in range(0, logits.shape[1], _ROWS)
    ]
    confidence, entropy = (torch.cat(rows).clamp(0, 1).cpu().numpy() for rows in zip(*parts, strict=True))
    return UncertaintyMaps(confidence, entropy)


def _of_rows(logits: Tensor, classes: Tensor, *, sigmoid: bool) -> tuple[Tensor, Tensor]:
    """(confidence, entropy) of some rows."""
    if sigmoid:
        probabilities = logits.sigmoid()
        entropy = torch.special.entr(probabilities) + torch.special.entr(1 - probabilities)
        entropy = entropy.mean(0) / log(2)
        if len(logits) == 1:
            probabilities = torch.cat([1 - probabilities, probabilities])
    else:
        probabilities = logits.softmax(0)
        entropy = torch.special.entr(probabilities).sum(0) / log(max(len(logits), 2))
    has_class = classes != IGNORED
    index = torch.where(has_class, classes, 0)[None]
    return probabilities.gather(0, index)[0] * has_class, entropy
