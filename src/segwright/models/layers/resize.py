"""Enlarging score maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def enlarge(
    scores: Float[Tensor, "images channels h w"], size: Sequence[int], *, align_corners: bool = False
) -> Float[Tensor, "images channels height width"]:
    """Scores at ``size`` (height, width), bilinear; between pixel centers unless ``align_corners``."""
    if scores.shape[2:] == tuple(size):
        return scores
    return F.interpolate(scores, size=tuple(size), mode="bilinear", align_corners=align_corners)


def side_by_side(
    maps: Sequence[Tensor], *, align_corners: bool = False
) -> Float[Tensor, "images channels height width"]:
    """All maps at the size of the first one, concatenated."""
    size = maps[0].shape[2:]
    return torch.cat([enlarge(each, size, align_corners=align_corners) for each in maps], 1)
