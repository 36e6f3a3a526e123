"""Grouping: each pixel is assigned to the center that its offset points to."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segwright.decode.nearest import NearestCenter, chunk_size


def group_pixels(
    offset: Float[Tensor, "2 height width"],
    centers: Float[Tensor, "centers 2"],
    where: Bool[Tensor, "height width"],
) -> Int[Tensor, "height width"]:
    """The number of the center of each pixel of ``where``, int32, from 1; 0 elsewhere, and 0 without centers.

    A pixel belongs to the center nearest to its position plus its offset.
    """
    height, width = where.shape
    if not len(centers):
        return torch.zeros(height, width, dtype=torch.int32, device=where.device)
    if torch.compiler.is_compiling():  # sizes that depend on the data cannot be exported everywhere
        y = offset[0] + torch.arange(height, device=where.device)[:, None]
        x = offset[1] + torch.arange(width, device=where.device)
        nearest = NearestCenter.of(centers, (height, width), points=0)(y.flatten(), x.flatten())
        return torch.where(where, nearest.view(height, width) + 1, 0)
    objects = torch.zeros(height * width, dtype=torch.int32, device=where.device)
    (pixels,) = where.flatten().nonzero(as_tuple=True)
    nearest_center = NearestCenter.of(centers, (height, width), points=len(pixels))
    offset_y, offset_x = offset.flatten(1)
    step = chunk_size(pixels)
    for start in range(0, len(pixels), step):
        chunk = pixels[start : start + step]
        row = chunk // width
        y = offset_y.index_select(0, chunk).add_(row)
        x = offset_x.index_select(0, chunk).add_(chunk - row * width)
        objects.index_copy_(0, chunk, nearest_center(y, x).add_(1))
    return objects.view(height, width)
