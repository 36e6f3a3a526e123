"""Grouping: each pixel to the center that it points to."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segwright.decode.nearest import NearestCenter, portion


def group_pixels(
    offset: Float[Tensor, "2 height width"],
    centers: Float[Tensor, "centers 2"],
    where: Bool[Tensor, "height width"],
) -> Int[Tensor, "height width"]:
    """Which center each pixel of ``where`` points to, from 1, int32; 0 elsewhere and without centers.

    A pixel belongs to the center nearest to its position plus its offset.
    """
    height, width = where.shape
    if not len(centers):
        return torch.zeros(height, width, dtype=torch.int32, device=where.device)
    if torch.compiler.is_compiling():  # sizes that depend on the data do not export everywhere
        y = offset[0] + torch.arange(height, device=where.device)[:, None]
        x = offset[1] + torch.arange(width, device=where.device)
        nearest = NearestCenter.of(centers, (height, width), points=0)(y.flatten(), x.flatten())
        return torch.where(where, nearest.view(height, width) + 1, 0)
    found = torch.zeros(height * width, dtype=torch.int32, device=where.device)
    (places,) = where.flatten().nonzero(as_tuple=True)
    nearest_center = NearestCenter.of(centers, (height, width), points=len(places))
    down, right = offset.flatten(1)
    step = portion(places)
    for first in range(0, len(places), step):
        place = places[first : first + step]
        row = place // width
        y = down.index_select(0, place).add_(row)
        x = right.index_select(0, place).add_(place - row * width)
        found.index_copy_(0, place, nearest_center(y, x).add_(1))
    return found.view(height, width)
