"""Class-aware grouping, for objects inside other objects: a pixel may only be assigned to a center of its own class.

Panoptic-DeepLab assigns every pixel to the nearest center of any class. That is right for objects next to each other.
For a window inside a facade it is not: the offsets of the facade's pixels are not exact, so that some of these pixels
end nearest to the center of the window. The majority vote then turns the window into facade.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segwright.decode.grouping import group_pixels

OFFSET_ERROR = 3.0
"""Offsets miss the center by about so many pixels, however small the object is."""


def group_by_class(
    classes: Int[Tensor, "height width"],
    offset: Float[Tensor, "2 height width"],
    centers: Int[Tensor, "centers 2"],
    where: Bool[Tensor, "height width"],
    *,
    min_pixels: int = 1,
    max_self_offset: float = 8.0,
    max_scatter: float = 0.0,
) -> tuple[Int[Tensor, "kept 2"], Int[Tensor, "height width"]]:
    """Centers (y, x), and the object of each pixel of ``where``: int32, numbered from 1; 0 elsewhere.

    The class of a center is the class of its pixel. A center is dropped if the offset of its own pixel is longer than
    ``max_self_offset`` pixels: a window that was classified as facade makes a peak, but that peak is not the center of
    the facade. A class without a center but with at least ``min_pixels`` pixels in ``where`` gets one, at the mean
    position that its pixels point to.

    With ``max_scatter`` a center is also dropped if the pixels nearest to it point, on average, further away from it
    than this fraction of the side of their area, plus 3 pixels: such a peak inside a large object has no object of its
    own. Of each class the center with the most pixels is kept. The pixels are then grouped again.
    """
    centers = centers[offset[:, centers[:, 0], centers[:, 1]].norm(dim=0) <= max_self_offset]
    center_classes = classes[centers[:, 0], centers[:, 1]]
    pixels = torch.bincount(classes[where].long(), minlength=max(256, int(classes.max()) + 1))
    without_center = pixels >= max(min_pixels, 1)
    without_center[center_classes.long()] = False
    added_classes = without_center.nonzero()[:, 0]
    added = [_mean_target(offset, where & (classes == c)) for c in added_classes.tolist()]
    centers = torch.cat([centers, *(point[None] for point in added)])
    center_classes = torch.cat([center_classes, added_classes.to(center_classes.dtype)])
    objects = _assign(classes, offset, centers, center_classes, where)
    if max_scatter and len(centers):
        kept = _supported(offset, centers, center_classes, objects, max_scatter)
        centers, center_classes = centers[kept], center_classes[kept]
        objects = _assign(classes, offset, centers, center_classes, where)
    return centers, objects


def _assign(
    classes: Tensor, offset: Tensor, centers: Tensor, center_classes: Tensor, where: Tensor
) -> Int[Tensor, "height width"]:
    """The number of the center of its own class that each pixel of ``where`` points to, from 1; 0 elsewhere."""
    objects = torch.zeros(classes.shape, dtype=torch.int32, device=classes.device)
    for c in torch.unique(center_classes).tolist():
        (own_centers,) = (center_classes == c).nonzero(as_tuple=True)
        nearest = group_pixels(offset, centers[own_centers].float(), where & (classes == c))
        numbers = torch.cat([own_centers.new_zeros(1), own_centers + 1]).int()
        objects += numbers[nearest.long()]
    return objects


def _supported(
    offset: Tensor, centers: Tensor, center_classes: Tensor, objects: Tensor, max_scatter: float
) -> Bool[Tensor, " centers"]:
    """Whether the pixels of each center point close enough to it, compared with the side of their area."""
    rows, columns = objects.nonzero(as_tuple=True)
    index = objects[rows, columns].long() - 1
    pixels = torch.stack([rows, columns]) + offset[:, rows, columns]
    distance = (pixels - centers[index].T).norm(dim=0)
    area = torch.bincount(index, minlength=len(centers))
    mean = torch.bincount(index, distance.double(), len(centers)) / area.clamp(min=1)
    supported = (area > 0) & (mean <= max_scatter * area.sqrt() + OFFSET_ERROR)
    for c in torch.unique(center_classes[area > 0]).tolist():
        supported[(area * (center_classes == c)).argmax()] = True
    return supported


def _mean_target(offset: Tensor, mask: Tensor) -> Tensor:
    """The mean position that the pixels of a mask point to, (y, x) int64, inside the map."""
    positions = mask.nonzero()
    target = (positions + offset[:, mask].T).mean(0).round().long()
    limit = torch.tensor(mask.shape, device=mask.device) - 1
    return torch.minimum(target.clamp(min=0), limit)
