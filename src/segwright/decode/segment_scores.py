"""Confidence scores of the segments of a panoptic map."""

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
    method: Literal["semantic", "instance", "both"],
    logits: Float[Tensor, "classes height width"],
    center: Float[Tensor, "height width"],
) -> tuple[PredictedSegment, ...]:
    """The segments with scores for average precision, by one of the methods of panoptic-deeplab.

    Scores are about 0..1: a heat map is a regression, which may leave this range, above all in its first steps.

    "semantic": the mean probability of the segment's class over its pixels. "instance": the heat map ``center`` at
    the mean position of its pixels, rounded down. "both": their product. Stuff segments, which have the score NaN,
    keep NaN with "instance" and get the semantic score otherwise.
    """
    if not segments:
        return ()
    index = _segment_indices(panoptic, segments)
    scores = torch.ones(len(segments), dtype=torch.float64, device=panoptic.device)
    if method != "instance":
        scores = scores * _mean_probability(index, segments, logits)
    if method != "semantic":
        heat = _heat_at_mean_position(index, len(segments), panoptic.shape[1], center)
        stuff = torch.tensor([segment.score != segment.score for segment in segments], device=heat.device)
        scores = scores * torch.where(stuff, torch.nan if method == "instance" else 1.0, heat)
    return tuple(
        replace(segment, score=score) for segment, score in zip(segments, scores.tolist(), strict=True)
    )


def _segment_indices(panoptic: Tensor, segments: Sequence[PredictedSegment]) -> Tensor:
    """The index of each pixel's segment in the list, flat; ``len(segments)`` for void."""
    ids, order = torch.tensor([segment.id for segment in segments], device=panoptic.device).sort()
    flat = panoptic.flatten().long()
    position = torch.searchsorted(ids, flat).clamp_(max=len(ids) - 1)
    return torch.where(ids[position] == flat, order[position], len(ids))


def _mean_probability(index: Tensor, segments: Sequence[PredictedSegment], logits: Tensor) -> Tensor:
    classes = torch.tensor([segment.class_index for segment in segments], device=index.device)
    (pixels,) = (index < len(segments)).nonzero(as_tuple=True)
    flat = logits.flatten(1)
    sums = torch.zeros(len(segments), dtype=torch.float64, device=index.device)
    for start in range(0, len(pixels), CHUNK):
        chunk = pixels[start : start + CHUNK]
        segment = index[chunk]
        pixel_logits = flat.index_select(1, chunk).float()
        own_logit = pixel_logits.gather(0, classes[segment][None])[0]
        sums.index_add_(0, segment, (own_logit - pixel_logits.logsumexp(0)).exp().double())
    return sums / torch.bincount(index, minlength=len(segments) + 1)[:-1]


def _heat_at_mean_position(index: Tensor, count: int, width: int, center: Tensor) -> Tensor:
    pixels = torch.arange(len(index), device=index.device)
    row = pixels // width
    sums = torch.zeros(2, count + 1, dtype=torch.int64, device=index.device)
    sums[0].index_add_(0, index, row)
    sums[1].index_add_(0, index, pixels - row * width)
    y, x = (sums // torch.bincount(index, minlength=count + 1).clamp(min=1))[:, :-1]
    return center[y, x].double()
