"""Oracles of query models: true classes of the queries, true masks, or both."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from segwright.contracts import Decoder, QueryOutput
from segwright.data.loading.query_targets import QueryTargets
from segwright.decode.default import DefaultDecoder, inner_decoder
from segwright.decode.query import QueryDecoder
from segwright.decode.query_masks import ImageMasks
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.losses.matching import MaskCosts, match
from segwright.samples import Prediction, Sample

QUERY_PARTS = ("class", "mask")
KINDS = {"semantic": "classes", "panoptic": "segments", "instance": "objects"}
PIXELS = 2**20  # values of masks at a time


@dataclass(frozen=True, slots=True, eq=False)
class QueryOracleInputs:
    """Predictions and ground truth of one image; queries and true masks are matched as in training, over all pixels.

    ``owner``: the query of each pixel, -1 where no matched mask is. ``queries`` have the true ``classes``; all others
    should predict "no object".
    """

    decoder: QueryDecoder
    labels: LabelSpace
    masks: ImageMasks
    probabilities: Float[Tensor, "all_queries classes_and_none"]
    owner: Int[Tensor, "height width"]
    queries: Int[Tensor, " matched"]
    classes: Int[Tensor, " matched"]

    @classmethod
    def of(
        cls,
        decoder: Decoder,
        output: QueryOutput,
        padded: tuple[int, int],
        sample: Sample,
        labels: LabelSpace,
    ) -> QueryOracleInputs:
        """The matching for the output of one image; ``UserError`` for a sample without the segments it needs."""
        own = query_decoder(decoder)
        size = (sample.map.shape[0], sample.map.shape[1])
        targets = QueryTargets(KINDS[own.task_for(labels)])([sample], size, labels).masks  # type: ignore[arg-type]
        assert targets is not None
        device = output.masks.device
        index, classes = targets.index[0].to(device), targets.classes[0].to(device)
        masks = ImageMasks(output.masks.float(), padded, size)
        probabilities = output.classes[0].float().softmax(-1)
        queries, positions = _matched(masks, probabilities, index, classes)
        table = torch.full((len(classes) + 2,), -1, dtype=torch.long, device=device)
        table[positions] = (
            queries  # the last two entries are for pixels without a mask and without ground truth
        )
        return cls(own, labels, masks, probabilities, table[index.long()], queries, classes[positions])

    def decoded(self, parts: Collection[str]) -> Prediction:
        """The prediction with ``parts`` of ``QUERY_PARTS`` replaced by the ground truth."""
        masks, probabilities = self.masks, self.probabilities
        if "mask" in parts:
            masks = replace(masks, owner=self.owner, replaced=self.queries)
        if "class" in parts:
            probabilities = torch.zeros_like(probabilities)
            probabilities[:, -1] = 1
            probabilities[self.queries, -1] = 0
            probabilities[self.queries, self.classes] = 1
        return self.decoder.decode(masks, probabilities, self.labels)


def query_decoder(decoder: Decoder) -> QueryDecoder:
    """The decoder of queries inside ``decoder``; ``UserError`` if it has none."""
    inner = inner_decoder(decoder)
    queries = inner.queries if isinstance(inner, DefaultDecoder) else inner
    if not isinstance(queries, QueryDecoder):
        raise UserError(
            f"oracle: {type(inner).__name__} does not decode the masks of queries; expected QueryDecoder"
        )
    return queries


def _matched(
    masks: ImageMasks, probabilities: Tensor, index: Tensor, classes: Tensor
) -> tuple[Tensor, Tensor]:
    """Queries and positions of masks, matched at the cost of ``QueryLoss``, over all pixels."""
    if not len(classes):
        return classes, classes
    costs, true = MaskCosts(), torch.arange(len(classes), device=index.device)
    start = 0
    for strip in masks.strips():
        columns = index[:, start : start + strip.shape[2]].flatten()
        start += strip.shape[2]
        step = max(1, PIXELS // (len(strip) + len(true)))
        parts = torch.split(strip.flatten(1), step, 1), torch.split(columns, step)
        for logits, own in zip(*parts, strict=True):
            costs.add(logits, (own == true[:, None]).float(), (own >= -1)[None].float())
    return match(5 * costs.entropy() + 5 * costs.dice() - 2 * probabilities[:, classes])
