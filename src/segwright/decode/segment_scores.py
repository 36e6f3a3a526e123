"""How sure the segments of a panoptic map are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from segwright.samples import PredictedSegment

CHUNK = 1 << 17  # pixels at a time


def segment_scores(
    panoptic: Int[Tensor, "height width"],
    segments: Sequence[PredictedSegment],
    *,
    kind: Literal["semantic", "instance", "both"],
    logits: Float[Tensor, "classes height width"],
    center: Float[Tensor, "height width"],
) -> tuple[PredictedSegment, ...]:
    """The segments with scores in 0..1, as S5 gives them for average precision.

    "semantic": mean probability of the segment's class over its pixels; "instance": the heat map at the mean of its
    pixels, rounded down; "both": their product. A segment whose score is NaN, stuff, gets the semantic score with
    the first and the last and keeps NaN with "instance".
    """
    if not segments:
        return ()
    index = _indices(panoptic, segments)
    scores = torch.ones(len(segments), dtype=torch.float64, device=panoptic.device)
    if kind != "instance":
        scores = scores * _probability(index, segments, logits)
    if kind != "semantic":
        heat = _heat(index, len(segments), panoptic.shape[1], center)
        stuff = torch.tensor([segment.score != segment.score for segment in segments], device=heat.device)
        scores = scores * torch.where(stuff, torch.nan if kind == "instance" else 1.0, heat)
    return tuple(
        replace(segment, score=score) for segment, score in zip(segments, scores.tolist(), strict=True)
    )


def _indices(panoptic: Tensor, segments: Sequence[PredictedSegment]) -> Tensor:
    """The place of each pixel's segment in the list, flat; void has the place after the last."""
    ids, order = torch.tensor([segment.id for segment in segments], device=panoptic.device).sort()
    flat = panoptic.flatten().long()
    place = torch.searchsorted(ids, flat).clamp_(max=len(ids) - 1)
    return torch.where(ids[place] == flat, order[place], len(ids))


def _probability(index: Tensor, segments: Sequence[PredictedSegment], logits: Tensor) -> Tensor:
    classes = torch.tensor([segment.class_index for segment in segments], device=index.device)
    (place,) = (index < len(segments)).nonzero(as_tuple=True)
    flat = logits.flatten(1)
    sums = torch.zeros(len(segments), dtype=torch.float64, device=index.device)
    for first in range(0, len(place), CHUNK):
        part = place[first : first + CHUNK]
        owner = index[part]
        each = flat.index_select(1, part).float()
        own = each.gather(0, classes[owner][None])[0]
        sums.index_add_(0, owner, (own - each.logsumexp(0)).exp().double())
    return sums / torch.bincount(index, minlength=len(segments) + 1)[:-1]


def _heat(index: Tensor, count: int, width: int, center: Tensor) -> Tensor:
    place = torch.arange(len(index), device=index.device)
    row = place // width
    sums = torch.zeros(2, count + 1, dtype=torch.int64, device=index.device)
    sums[0].index_add_(0, index, row)
    sums[1].index_add_(0, index, place - row * width)
    y, x = (sums // torch.bincount(index, minlength=count + 1).clamp(min=1))[:, :-1]
    return center[y, x].double()
