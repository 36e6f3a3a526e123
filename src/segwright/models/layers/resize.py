"""Enlarging maps, and convolving maps of which some would have to be enlarged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def upsample(
    scores: Float[Tensor, "images channels h w"], size: Sequence[int], *, align_corners: bool = False
) -> Float[Tensor, "images channels height width"]:
    """Scores at ``size`` (height, width), bilinear; between pixel centers unless ``align_corners``."""
    if scores.shape[2:] == tuple(size):
        return scores
    return F.interpolate(scores, size=tuple(size), mode="bilinear", align_corners=align_corners)


def side_by_side(
    maps: Sequence[Tensor], size: Sequence[int] | None = None, *, align_corners: bool = False
) -> Float[Tensor, "images channels height width"]:
    """All maps at ``size``, that of the first one unless given, concatenated."""
    size = maps[0].shape[2:] if size is None else size
    large = [upsample(each, size, align_corners=align_corners) for each in maps]
    return torch.cat(large, 1) if len(large) > 1 else large[0]


def convolve_together(
    block: nn.Sequential, maps: Sequence[Tensor], size: Sequence[int], *, align_corners: bool = False
) -> Float[Tensor, "images channels height width"]:
    """``block`` (see ``conv_norm``) of all ``maps`` [N, C_i, h_i, w_i], brought to ``size`` and concatenated.

    To enlarge and to convolve are both linear. So a coarse map meets each tap of the kernel at its own size, as a
    1x1 convolution; two thin matrix products then enlarge and shift what came out. The sums are those of the plain
    way, for a fraction of its multiplications: a quarter on a map of half the size. Where that is no gain the map
    is enlarged. The convolution keeps the size: stride 1, no dilation, zeros around an odd kernel.
    """
    size = tuple(size)
    conv, norm = block
    assert isinstance(conv, nn.Conv2d)
    pairs = list(zip(maps, torch.split(conv.weight, [each.shape[1] for each in maps], 1), strict=True))
    coarse = [pair for pair in pairs if _gains(*pair, size)]
    fine = [pair for pair in pairs if not _gains(*pair, size)]
    parts = [_convolve_enlarged(*pair, size, align_corners=align_corners) for pair in coarse]
    if fine:
        x = side_by_side([each for each, _ in fine], size, align_corners=align_corners)
        parts.insert(0, F.conv2d(x, torch.cat([weight for _, weight in fine], 1), padding=conv.padding))
    total = sum(parts[1:], parts[0])
    convolved: Tensor = norm(total if conv.bias is None else total + conv.bias[:, None, None])
    return convolved


def _gains(x: Tensor, weight: Tensor, size: tuple[int, ...]) -> bool:
    """Whether the way over the taps takes clearly fewer multiplications, for each channel that comes out."""
    (height, width), (h, w) = size, x.shape[2:]
    inputs, rows, columns = weight.shape[1:]
    if rows == columns == 1:
        return h * w < height * width
    taps = h * w * rows * columns * inputs
    products = h * w * rows * columns * width + h * rows * height * width
    return taps + products < 0.7 * height * width * rows * columns * inputs


def _convolve_enlarged(x: Tensor, weight: Tensor, size: tuple[int, ...], *, align_corners: bool) -> Tensor:
    """The convolution of ``x`` enlarged to ``size``; what the products give is channels last."""
    (images, _, h, w), (height, width) = x.shape, size
    channels, _, rows, columns = weight.shape
    if rows == columns == 1:
        return upsample(F.conv2d(x, weight), size, align_corners=align_corners)
    # One output channel for each (column of the kernel, row of the kernel, channel that comes out).
    kernels = weight.permute(3, 2, 0, 1).reshape(-1, weight.shape[1], 1, 1)
    taps = F.conv2d(x, kernels).permute(0, 2, 3, 1).reshape(images, h, w * columns, rows * channels)
    across = _enlarging(w, width, columns, taps, align_corners=align_corners)
    wide = (across.T @ taps).view(images, h, width, rows, channels).transpose(2, 3)
    along = _enlarging(h, height, rows, taps, align_corners=align_corners)
    both = along.T @ wide.reshape(images, h * rows, width * channels)
    return both.view(images, height, width, channels).permute(0, 3, 1, 2)


def _enlarging(short: int, long: int, taps: int, like: Tensor, *, align_corners: bool) -> Tensor:
    """[short * taps, long]: what each place of a line, seen by each tap, gives to each place of the longer line."""
    line = torch.eye(short, device=like.device, dtype=torch.promote_types(like.dtype, torch.float32))
    if short != long:
        line = F.interpolate(line[None], size=long, mode="linear", align_corners=align_corners)[0]
    shifted = F.pad(line, (taps // 2, taps // 2)).unfold(1, long, 1)
    return shifted.reshape(short * taps, long).to(like.dtype)
