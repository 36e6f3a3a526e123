"""Values of masks at random points, without the true masks themselves: one integer map holds all of them.

PointRend (Kirillov et al., CVPR 2020) trains masks at points instead of pixels: most of them where the prediction is
uncertain. Mask2Former and EoMT do the same. Points are (x, y), each 0..1 over the width and height of the image.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import VOID_MASK, MaskTargets

Values = tuple[Float[Tensor, "masks points"], Float[Tensor, "#masks points"]]


def sample_logits(
    logits: Float[Tensor, "masks h w"], points: Float[Tensor, "masks points 2"]
) -> Float[Tensor, "masks points"]:
    """Bilinear values of maps at points, 0 outside; each map has its own points."""
    return F.grid_sample(logits[:, None], 2 * points[:, :, None] - 1, align_corners=False)[:, 0, :, 0]


def sample_logits_together(
    logits: Float[Tensor, "masks h w"], points: Float[Tensor, "points 2"]
) -> Float[Tensor, "masks points"]:
    """``sample_logits`` of maps that share their points, without gradients.

    The four neighbors of a point are rows of numbers, one per map: that is several times faster than one map at a time.
    """
    rows, index = (
        logits.detach().flatten(1).T.contiguous(),
        torch.arange(logits[0].numel(), device=logits.device),
    )
    image = torch.zeros(1, dtype=torch.long, device=logits.device)
    neighbors = [*_neighbors(index.view(1, *logits.shape[1:]), image, points)]
    positions = torch.stack([position for position, _, _ in neighbors], 1)
    weights = torch.stack([weight * inside for _, weight, inside in neighbors], 1).to(rows.dtype)
    return F.embedding_bag(positions, rows, per_sample_weights=weights, mode="sum").T


def sample_masks(
    targets: MaskTargets,
    images: Int[Tensor, " masks"],
    masks: Int[Tensor, " masks"],
    points: Float[Tensor, "masks points 2"],
) -> Values:
    """``sample_logits`` of true masks of some images without these masks, and the weights of the points.

    A value is the sum of the bilinear weights of those of the four neighbors that belong to the mask. The weight of a
    point is 1, less the bilinear weights of those of its neighbors that are void; beyond the border of the map the
    pixels at the border are continued.
    """
    values = torch.zeros(points.shape[:2], device=points.device, dtype=points.dtype)
    weights = torch.ones_like(values)
    table = _memberships(targets, images, masks) if targets.overlaps else None
    for index, weight, inside in _neighbors(targets.index, images[:, None], points):
        belongs = index == masks[:, None] if table is None else table.gather(1, index.long() + 2)
        values += belongs * (weight * inside)
        weights -= (index == VOID_MASK) * weight
    return values, weights.clamp_(0, 1)


def sample_masks_together(targets: MaskTargets, image: int, points: Float[Tensor, "points 2"]) -> Values:
    """``sample_masks`` of all masks of one image at points that they share; weights [1, points]."""
    count = len(targets.classes[image])
    regions = targets.overlaps[image] if targets.overlaps else torch.zeros(0, count, dtype=torch.bool)
    rows = count + len(regions) + 1  # the last row is for pixels without a mask
    values = torch.zeros(rows, len(points), device=points.device, dtype=points.dtype)
    weights = torch.ones(1, len(points), device=points.device, dtype=points.dtype)
    images = torch.full((1,), image, device=points.device)
    for index, weight, inside in _neighbors(targets.index, images, points):
        row = torch.where(index < 0, rows - 1, index).long()
        values.scatter_add_(0, row[None], (weight * inside)[None])
        weights -= (index == VOID_MASK) * weight
    own = values[:count]
    if len(regions):
        own = own + regions.to(values).T @ values[count:-1]
    return own, weights.clamp_(0, 1)


def _memberships(targets: MaskTargets, images: Tensor, masks: Tensor) -> Tensor:
    """Whether a pixel of index i - 2 belongs to each of the ``masks``: bool [masks, indices]."""
    sizes = [sum(regions.shape) for regions in targets.overlaps]
    table = torch.zeros(len(masks), 2 + max(sizes), dtype=torch.bool, device=masks.device)
    table[torch.arange(len(masks), device=masks.device), masks + 2] = True
    for image, regions in enumerate(targets.overlaps):
        rows = (images == image).nonzero()[:, 0]
        table[rows, 2 + regions.shape[1] : 2 + sizes[image]] = regions[:, masks[rows]].T
    return table


def _neighbors(index: Tensor, images: Tensor, points: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For each of four neighbors: the value of the nearest pixel, its bilinear weight, whether it lies in the map."""
    height, width = index.shape[1:]
    flat, start = index.flatten(), images * (height * width)
    x, y = (((2 * points[..., axis] - 1 + 1) * side - 1) / 2 for axis, side in enumerate((width, height)))
    left, top = x.floor(), y.floor()
    for column, across in ((left, left + 1 - x), (left + 1, x - left)):
        for row, down in ((top, top + 1 - y), (top + 1, y - top)):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            position = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
            yield flat[start + position], across * down, inside


def random_points(count: int, device: torch.device) -> Float[Tensor, "points 2"]:
    """Points that are spread evenly."""
    return torch.rand(count, 2, device=device)


@torch.no_grad()
def uncertain_points(
    logits: Float[Tensor, "masks h w"], count: int, *, oversample: float, importance: float
) -> Float[Tensor, "masks points 2"]:
    """``count`` random points per mask: the fraction ``importance`` of them where logits are near 0.

    These are the most uncertain of ``oversample`` times ``count`` points; the other points are spread evenly.
    """
    uncertain = int(importance * count)
    points = torch.rand(len(logits), int(count * oversample), 2, device=logits.device)
    nearest = sample_logits(logits, points).abs_().neg_().topk(uncertain, dim=1, sorted=False).indices
    chosen = points.gather(1, nearest[..., None].expand(-1, -1, 2))
    return torch.cat([chosen, torch.rand(len(logits), count - uncertain, 2, device=logits.device)], 1)


def rows_at_once(values: int, device: torch.device) -> int:
    """How many rows of ``values`` numbers to process at a time: few on a CPU, for its caches and for the memory."""
    return max(1, 2 ** (23 if device.type == "cuda" else 19) // values)
