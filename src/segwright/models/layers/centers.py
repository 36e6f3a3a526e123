"""Enlarging the maps of ``CenterOutput``."""

from __future__ import annotations

import torch
from torch import Tensor

from segwright.contracts import CenterOutput
from segwright.models.layers.resize import upsample


def upsample_centers(
    output: CenterOutput, size: tuple[int, int], *, align_corners: bool = True
) -> CenterOutput:
    """All maps at ``size`` (height, width), in float32 or better; offsets grow with the map, rows and columns each.

    With ``align_corners`` a map grows by (H - 1) / (h - 1). S5 takes the whole part of that, by its heights, for both
    directions: the same for sizes 32 k + 1, for which it was trained, and wrong for others.
    """

    def larger(scores: Tensor) -> Tensor:
        return upsample(
            scores.to(torch.promote_types(scores.dtype, torch.float32)), size, align_corners=align_corners
        )

    small = output.offset.shape[2:]
    grown = [
        (large - 1) / (old - 1) if align_corners and old > 1 else large / old
        for large, old in zip(size, small, strict=True)
    ]
    offset = larger(output.offset)
    if tuple(small) != tuple(size):
        offset = offset * offset.new_tensor(grown).view(1, 2, 1, 1)
    foreground = output.foreground
    return CenterOutput(
        larger(output.semantic),
        larger(output.center),
        offset,
        None if foreground is None else larger(foreground),
    )
