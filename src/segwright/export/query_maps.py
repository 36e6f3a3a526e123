"""Class maps and panoptic maps of query models in fixed operations, for the graph: ``decode.query`` without a loop."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from segwright.contracts import QueryOutput
from segwright.decode.query import QueryDecoder, semantic_scores
from segwright.export.postprocessing import entries
from segwright.labels import LabelSpace
from segwright.models.layers.resize import upsample


def query_class_map(output: QueryOutput, padded: tuple[int, int]) -> Int[Tensor, "images height width"]:
    """Class indices, int32, as ``QueryDecoder`` gives them for semantic segmentation, with the padding."""
    full = QueryOutput(upsample(output.masks.float(), padded), output.classes)
    return semantic_scores(full).argmax(1).int()


def query_panoptic_map(
    output: QueryOutput,
    decoder: QueryDecoder,
    labels: LabelSpace,
    inside: Tensor,
) -> tuple[Int[Tensor, "1 height width"], Int[Tensor, "1 height width"]]:
    """Class indices (the ignore index is none) and panoptic ids (-1 = void), int32, of the single image of a batch.

    ``inside`` [height, width]: the pixels that are no padding; in the padding both maps are void. All queries stay in
    the computation; those that ``QueryDecoder`` drops lose against every other.
    """
    scores, classes = output.classes[0].float().softmax(-1).max(-1)
    kept = (classes < len(labels)) & (scores > decoder.threshold)
    masks = upsample(output.masks.float(), (inside.shape[0], inside.shape[1]))[0].sigmoid()
    above = masks >= decoder.mask_threshold
    competing = torch.where(kept[:, None, None], masks * scores[:, None, None], -1.0)
    winner = competing.argmax(0)
    sure = above.float().gather(0, winner[None])[0] > 0
    original = (above & inside).float().flatten(1).sum(1)
    won = _count(winner, inside, len(scores))
    area = _count(winner, inside & sure, len(scores))
    exists = kept & (area > 0) & (won / original.clamp(min=1) > decoder.overlap_threshold)
    ids = torch.where(exists, _ids(classes, exists, decoder, labels), -1)
    nothing = ~(inside & kept.any())
    semantic = torch.where(nothing, labels.ignore_index, entries(classes.int(), winner))
    panoptic = torch.where(inside & sure, entries(ids, winner), -1)
    return semantic[None], panoptic[None]


def _count(winner: Tensor, where: Tensor, queries: int) -> Tensor:
    """The number of pixels of each query [queries], float32: exact up to 2^24."""
    zeros = torch.zeros(queries, device=winner.device)
    return zeros.scatter_add(0, winner.flatten(), where.flatten().float())


def _ids(classes: Tensor, exists: Tensor, decoder: QueryDecoder, labels: LabelSpace) -> Tensor:
    """The panoptic id of each query, int32: things are numbered from 1 within their class, in the order of queries."""
    things = torch.tensor([*labels.thing_table()[: len(labels)].tolist(), False], device=classes.device)
    same = (classes[:, None] == classes[None]) & exists[None]
    number = same.float().tril().sum(1).int()
    return classes.int() * decoder.divisor + torch.where(entries(things, classes), number, 0)
