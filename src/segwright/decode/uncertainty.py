"""How sure a model is at every pixel: confidence, entropy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import log
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from segwright.contracts import CenterOutput, Decoder, Output, PixelOutput, QueryOutput
from segwright.decode.binary import Threshold
from segwright.decode.default import DefaultDecoder, inner_decoder
from segwright.decode.padding import remove_padding
from segwright.decode.query import QueryDecoder, score_strips
from segwright.decode.query_masks import ImageMasks
from segwright.labels import LabelSpace, ignore_index
from segwright.models.layers.resize import upsample
from segwright.samples import Prediction, UncertaintyMaps

_ROWS = 128  # computed at a time: probabilities of all classes and pixels need not fit into memory


@dataclass(slots=True)
class WithUncertainty:
    """The predictions of another decoder with ``Prediction.uncertainty``: confidence and entropy of every pixel.

    If the output has the entropies of several passes (``inference.with_disagreement``), ``disagreement`` is the entropy
    of the fused probabilities minus the mean of these entropies. For fused probabilities this is the mutual information
    of class and pass (Gal et al.: Deep Bayesian Active Learning with Image Data, ICML 2017).

    Class probabilities are the softmax of the logits at the size of the image; of a query model the scores of the
    classes, divided by their sum. Those of a sigmoid head are independent:
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
        predictions = self.decoder(output, sizes, padded, labels)
        logits = _full_logits(output, inner, sizes, padded)
        within: list[NDArray[Any] | None] = [None] * len(sizes)
        if not isinstance(output, QueryOutput) and output.pass_entropy is not None:
            aligned = getattr(inner, "align_corners", False)
            entropies = upsample(output.pass_entropy.float(), padded, align_corners=aligned)[:, 0]
            within = [*remove_padding(entropies.cpu().numpy(), sizes)]
        sigmoid, results = isinstance(inner, Threshold), []
        for image, prediction, mean in zip(logits, predictions, within, strict=True):
            maps = _uncertainty(image, prediction, sigmoid=sigmoid)
            if mean is not None:
                maximum = _max_entropy(len(image), sigmoid=sigmoid)
                maps = replace(maps, disagreement=(maps.entropy - mean / maximum).clip(0, 1))
            results.append(replace(prediction, uncertainty=maps))
        return results


def _full_logits(
    output: Output, inner: Decoder, sizes: tuple[tuple[int, int], ...], padded: tuple[int, int]
) -> list[Float[Tensor, "channels height width"]]:
    """The class logits of each image at its size; of a query model logits whose softmax are the scores of classes."""
    if isinstance(output, QueryOutput):
        probabilities = output.classes.float().softmax(-1)
        images = zip(torch.split(output.masks.float(), 1), probabilities, sizes, strict=True)
        return [
            log_scores(torch.cat([*score_strips(ImageMasks(masks, padded, size), of_queries)], 2))
            for masks, of_queries, size in images
        ]
    logits = output.semantic if isinstance(output, CenterOutput) else output.logits
    full = upsample(logits.float(), padded, align_corners=getattr(inner, "align_corners", False))
    if isinstance(inner, QueryDecoder) or (isinstance(output, PixelOutput) and output.of_queries):
        full = log_scores(full)
    return [image[:, :height, :width] for image, (height, width) in zip(full, sizes, strict=True)]


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


def log_scores(scores: Tensor) -> Tensor:
    """Logits whose softmax are the scores of a query model, divided by their sum."""
    return scores.clamp(min=torch.finfo(scores.dtype).tiny).log()


def class_entropy(logits: Tensor, *, sigmoid: bool) -> Float[Tensor, "images 1 height width"]:
    """The entropy of the class probabilities of each pixel, in nats; of a sigmoid head the mean of its channels."""
    entr = torch.special.entr
    if sigmoid:
        probabilities = logits.sigmoid()
        entropy: Tensor = (entr(probabilities) + entr(1 - probabilities)).mean(1, keepdim=True)
    else:
        entropy = entr(logits.softmax(1)).sum(1, keepdim=True)
    return entropy


def _max_entropy(channels: int, *, sigmoid: bool) -> float:
    return log(2 if sigmoid else max(channels, 2))


def _of_rows(logits: Tensor, classes: Tensor, *, sigmoid: bool) -> tuple[Tensor, Tensor]:
    """(confidence, entropy) of some rows."""
    probabilities = logits.sigmoid() if sigmoid else logits.softmax(0)
    entropy = class_entropy(logits[None], sigmoid=sigmoid)[0, 0] / _max_entropy(len(logits), sigmoid=sigmoid)
    if sigmoid and len(logits) == 1:
        probabilities = torch.cat([1 - probabilities, probabilities])
    has_class = classes != ignore_index(len(logits))
    index = torch.where(has_class, classes, 0)[None]
    return probabilities.gather(0, index)[0] * has_class, entropy
