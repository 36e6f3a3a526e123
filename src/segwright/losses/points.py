"""Values of masks at random points, without the true masks themselves: one integer map holds all of them.

PointRend (Kirillov et al., CVPR 2020) trains masks at points instead of pixels: most of them where the prediction is
uncertain. Mask2Former and EoMT do the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import VOID_MASK

CHUNK = 16  # masks at a time, wherever there are more points than are kept


def sample_logits(
    logits: Float[Tensor, "masks h w"], points: Float[Tensor, "masks points 2"]
) -> Float[Tensor, "masks points"]:
    """Bilinear values of maps at points (x, y), each 0..1 over the width and height of the image."""
    return F.grid_sample(logits[:, None], 2 * points[:, :, None] - 1, align_corners=False)[:, 0, :, 0]


def sample_masks(
    index: Int[Tensor, "height width"], masks: Int[Tensor, " masks"], points: Float[Tensor, "#masks points 2"]
) -> Float[Tensor, "masks points"]:
    """``sample_logits`` of the masks ``index == mask`` without these masks; ``points`` may be [1, P, 2] for all masks.

    The result is the sum of the bilinear weights of those of the four neighbors that belong to the mask.
    """
    total = torch.zeros(len(masks), points.shape[1], device=points.device, dtype=points.dtype)
    for start in range(0, len(masks), CHUNK):
        part = slice(start, start + CHUNK)
        for value, weight, inside in _neighbors(index, points if len(points) == 1 else points[part]):
            total[part] += (value == masks[part, None]) * (weight * inside)
    return total


def valid_weights(
    index: Int[Tensor, "height width"], points: Float[Tensor, "#masks points 2"]
) -> Float[Tensor, "masks points"]:
    """The weight of each point: 1, less the bilinear weights of those of its neighbors that are void.

    Beyond the border of the map the pixels at the border are continued.
    """
    weights = torch.ones(points.shape[:2], device=points.device, dtype=points.dtype)
    for start in range(0, len(points), CHUNK):
        part = slice(start, start + CHUNK)
        for value, weight, _ in _neighbors(index, points[part]):
            weights[part] -= (value == VOID_MASK) * weight
    return weights.clamp_(0, 1)


def _neighbors(index: Tensor, points: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For each of four neighbors: the value of the nearest pixel, its bilinear weight, whether it lies in the map."""
    height, width = index.shape
    flat = index.flatten()
    x, y = (((2 * points[..., axis] - 1 + 1) * side - 1) / 2 for axis, side in enumerate((width, height)))
    left, top = x.floor(), y.floor()
    for column, across in ((left, left + 1 - x), (left + 1, x - left)):
        for row, down in ((top, top + 1 - y), (top + 1, y - top)):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            position = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
            yield flat[position.long()], across * down, inside


@torch.no_grad()
def uncertain_points(
    logits: Float[Tensor, "masks h w"], count: int, *, oversample: float, importance: float
) -> Float[Tensor, "masks points 2"]:
    """``count`` random points (x, y) per mask: the fraction ``importance`` of them where logits are near 0.

    These are the most uncertain of ``oversample`` times ``count`` points; the other points are spread evenly.
    """
    uncertain = int(importance * count)
    chosen = []
    for part in torch.split(logits, CHUNK):
        points = torch.rand(len(part), int(count * oversample), 2, device=logits.device)
        nearest = sample_logits(part, points).abs().neg_().topk(uncertain, dim=1).indices
        chosen.append(points.gather(1, nearest[..., None].expand(-1, -1, 2)))
    rest = torch.rand(len(logits), count - uncertain, 2, device=logits.device)
    return torch.cat([torch.cat(chosen), rest], 1) if chosen else rest
