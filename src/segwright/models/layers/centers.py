"""Parts of networks with centers: precise heads, and the upsampling of ``CenterOutput``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segwright.contracts import CenterOutput
from segwright.models.layers.resize import upsample


def upsample_centers(
    output: CenterOutput, size: tuple[int, int], *, align_corners: bool = True
) -> CenterOutput:
    """The output at ``size`` (height, width), bilinear, at least in float32.

    Offsets are in pixels, so they are multiplied by the scale factors of rows and columns. With ``align_corners`` such
    a factor is (H - 1) / (h - 1). panoptic-deeplab rounds the factor of the rows down and uses it for both directions:
    the same for sizes 32 k + 1, for which it was trained, and wrong for others.
    """

    def resized(scores: Tensor) -> Tensor:
        precise = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return upsample(precise, size, align_corners=align_corners)

    old_size = output.offset.shape[2:]
    factors = [
        (new - 1) / (old - 1) if align_corners and old > 1 else new / old
        for new, old in zip(size, old_size, strict=True)
    ]
    offset = resized(output.offset)
    if tuple(old_size) != tuple(size):
        offset = offset * offset.new_tensor(factors).view(1, 2, 1, 1)
    foreground = output.foreground
    return CenterOutput(
        resized(output.semantic),
        resized(output.center),
        offset,
        None if foreground is None else resized(foreground),
    )


def in_fp32(head: nn.Module, x: Tensor) -> Tensor:
    """``head(x)``, even in mixed precision in fp32: in bf16 two neighbors on a peak are often equal, and both count."""
    kind = x.device.type
    if x.is_meta or not torch.is_autocast_enabled(kind):  # without values there is no precision
        output: Tensor = head(x)
        return output
    with torch.autocast(kind, enabled=False):
        output = head(x.float())
        return output
