"""Grouping by class: where objects lie in one another, a pixel may only go to a center of its own class.

Panoptic-DeepLab lets every pixel go to the nearest center, whosoever it is. That is right where objects stand beside
each other. Around a window in a facade it is not: what the facade's own pixels point to is spread widely enough that
part of it comes nearest to a window, which the majority then turns into facade.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segwright.decode.grouping import group_pixels


def group_by_class(
    classes: Int[Tensor, "height width"],
    offset: Float[Tensor, "2 height width"],
    centers: Int[Tensor, "centers 2"],
    where: Bool[Tensor, "height width"],
    *,
    least: int = 1,
    near: float = 8.0,
) -> tuple[Int[Tensor, "more 2"], Int[Tensor, "height width"]]:
    """Centers (y, x) and the object of each pixel of ``where``, from 1, int32; 0 elsewhere.

    A center is of the class that ``classes`` has there, and none if its own pixel points farther than ``near`` pixels
    away: the peak of a window that was taken for facade is no center of the facade. A class of ``where`` with no center
    but at least ``least`` pixels gets one where its pixels point to on average.
    """
    centers = centers[offset[:, centers[:, 0], centers[:, 1]].norm(dim=0) <= near]
    kinds = classes[centers[:, 0], centers[:, 1]]
    pixels = torch.bincount(classes[where].long(), minlength=256)
    lonely = pixels >= max(least, 1)
    lonely[kinds.long()] = False
    added = [_middle(offset, where & (classes == c)) for c in lonely.nonzero()[:, 0].tolist()]
    centers = torch.cat([centers, *(point[None] for point in added)])
    kinds = torch.cat([kinds, lonely.nonzero()[:, 0].to(kinds.dtype)])
    objects = torch.zeros(classes.shape, dtype=torch.int32, device=classes.device)
    for c in torch.unique(kinds).tolist():
        own = (kinds == c).nonzero()[:, 0]
        found = group_pixels(offset, centers[own].float(), where & (classes == c))
        numbers = torch.cat([own.new_zeros(1), own + 1]).int()
        objects += numbers[found.long()]
    return centers, objects


def _middle(offset: Tensor, mask: Tensor) -> Tensor:
    """Where the pixels of a mask point to on average, (y, x) int64, inside the map."""
    places = mask.nonzero()
    target = (places + offset[:, mask].T).mean(0).round().long()
    limit = torch.tensor(mask.shape, device=mask.device) - 1
    return torch.minimum(target.clamp(min=0), limit)
