"""Resizing tensors by the arithmetic of Pillow, on any device."""

from __future__ import annotations

import torch
from torch import Tensor


def resize_like_pillow(image: Tensor, size: tuple[int, int], *, round_values: bool) -> Tensor:
    """The image [N, C, H, W] at ``size`` (height, width), float32, as Pillow's bilinear resize gives it.

    Unlike the bilinear interpolation of torch it smooths where it shrinks. Columns are resized before rows.
    ``round_values`` after each of the two, as Pillow does for integer images.
    """
    values = image.double()
    for axis, length in ((3, size[1]), (2, size[0])):
        if values.shape[axis] != length:
            weights = _weights(values.shape[axis], length).to(values.device)
            values = (values.transpose(axis, 3) @ weights.T).transpose(axis, 3)
            values = (values + 0.5).floor() if round_values else values
    return values.float()


def _weights(old: int, new: int) -> Tensor:
    """The weight of each old pixel in each new one, [new, old]: a triangle two new pixels wide, as 22-bit fractions."""
    scale = old / new
    reach = max(scale, 1.0)
    middle = (torch.arange(new, dtype=torch.float64)[:, None] + 0.5) * scale
    position = torch.arange(old, dtype=torch.float64)
    inside = (position >= (middle - reach + 0.5).trunc()) & (position < (middle + reach + 0.5).trunc())
    weights = torch.where(inside, 1 - ((position + 0.5 - middle) / reach).abs(), 0.0).clamp_min(0)
    return (weights / weights.sum(1, keepdim=True) * 2**22 + 0.5).floor() / 2**22
