"""Bringing logits and label maps to the same size."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from segwright.labels import IGNORED
from segwright.models.layers.resize import upsample


def resize_to_match(
    logits: Float[Tensor, "images classes h w"],
    semantic: Int[Tensor, "images height width"],
    *,
    at_output_resolution: bool = False,
    align_corners: bool = False,
) -> tuple[Tensor, Tensor]:
    """Logits in float32 (or float64) and label map in one size: that of the label map, or of the output.

    The logits are upsampled bilinearly. ``at_output_resolution``: the label map is downsampled instead, by taking
    the nearest pixel.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if not at_output_resolution:
        return upsample(logits, semantic.shape[1:], align_corners=align_corners), semantic
    nearest = F.interpolate(semantic[:, None].float(), size=logits.shape[2:], mode="nearest-exact")
    return logits, nearest[:, 0].long()


def subsample(semantic: Tensor, stride: int, ignored: int = IGNORED) -> Tensor:
    """Every ``stride``-th pixel of label maps [N, H, W]: the middle pixel of each ``stride`` x ``stride`` cell.

    A cell that reaches beyond the map gets the ignore index ``ignored`` if its middle pixel lies outside.
    """
    if stride == 1:
        return semantic
    rows, columns = (-side % stride for side in semantic.shape[1:])
    padded = F.pad(semantic, (0, columns, 0, rows), value=ignored)
    return padded[:, stride // 2 :: stride, stride // 2 :: stride]
