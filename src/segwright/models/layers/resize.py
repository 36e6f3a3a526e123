"""Bilinear upsampling, and a convolution of upsampled and concatenated feature maps that costs less than both."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def upsample(
    scores: Float[Tensor, "images channels h w"], size: Sequence[int], *, align_corners: bool = False
) -> Float[Tensor, "images channels height width"]:
    """Logits or feature maps at ``size`` (height, width), bilinear; unchanged if they have that size."""
    if scores.shape[2:] == tuple(size):
        return scores
    return F.interpolate(scores, size=tuple(size), mode="bilinear", align_corners=align_corners)


def upsample_concat(
    maps: Sequence[Tensor], size: Sequence[int] | None = None, *, align_corners: bool = False
) -> Float[Tensor, "images channels height width"]:
    """All feature maps at ``size`` (default: that of the first), concatenated along the channels."""
    size = maps[0].shape[2:] if size is None else size
    resized = [upsample(x, size, align_corners=align_corners) for x in maps]
    return torch.cat(resized, 1) if len(resized) > 1 else resized[0]


def upsample_concat_conv(
    block: nn.Sequential, maps: Sequence[Tensor], size: Sequence[int], *, align_corners: bool = False
) -> Float[Tensor, "images channels height width"]:
    """``block`` (see ``conv_norm``) applied to ``upsample_concat(maps, size)``, with fewer multiplications.

    Upsampling and convolution are both linear, so their order can change. A coarse feature map is multiplied with each
    weight of the kernel at its own size, as a 1x1 convolution; two matrix products then upsample and shift the results.
    The sums are the same up to rounding. A feature map of half the size takes a quarter of the multiplications. Where
    this saves nothing, the feature map is upsampled first. The convolution keeps the size: stride 1, no dilation, an
    odd kernel with zero padding.
    """
    size = tuple(size)
    conv, norm = block
    assert isinstance(conv, nn.Conv2d)
    pairs = list(zip(maps, torch.split(conv.weight, [x.shape[1] for x in maps], 1), strict=True))
    # In a graph for images of any size, the choice cannot depend on the size.
    any_size = any(isinstance(side, torch.SymInt) for side in size)
    coarse = [] if any_size else [pair for pair in pairs if _saves(*pair, size)]
    fine = pairs if any_size else [pair for pair in pairs if not _saves(*pair, size)]
    parts = [_upsampled_conv(*pair, size, align_corners=align_corners) for pair in coarse]
    if fine:
        concatenated = upsample_concat([x for x, _ in fine], size, align_corners=align_corners)
        weight = torch.cat([weight for _, weight in fine], 1)
        parts.insert(0, F.conv2d(concatenated, weight, padding=conv.padding))
    total = sum(parts[1:], parts[0])
    output: Tensor = norm(total if conv.bias is None else total + conv.bias[:, None, None])
    return output


def _saves(x: Tensor, weight: Tensor, size: tuple[int, ...]) -> bool:
    """Whether convolving before upsampling takes clearly fewer multiplications, per output channel."""
    (height, width), (h, w) = size, x.shape[2:]
    in_channels, rows, columns = weight.shape[1:]
    if rows == columns == 1:
        return h * w < height * width
    convolutions = h * w * rows * columns * in_channels
    products = h * w * rows * columns * width + h * rows * height * width
    return convolutions + products < 0.7 * height * width * rows * columns * in_channels


def _upsampled_conv(x: Tensor, weight: Tensor, size: tuple[int, ...], *, align_corners: bool) -> Tensor:
    """The convolution of ``x`` upsampled to ``size``; in channels-last memory unless the kernel is 1x1."""
    (images, _, h, w), (height, width) = x.shape, size
    channels, _, rows, columns = weight.shape
    if rows == columns == 1:
        return upsample(F.conv2d(x, weight), size, align_corners=align_corners)
    # One output channel for each (column of the kernel, row of the kernel, output channel).
    kernels = weight.permute(3, 2, 0, 1).reshape(-1, weight.shape[1], 1, 1)
    products = F.conv2d(x, kernels).permute(0, 2, 3, 1).reshape(images, h, w * columns, rows * channels)
    horizontal = _upsampling_matrix(w, width, columns, products, align_corners=align_corners)
    wide = (horizontal.T @ products).view(images, h, width, rows, channels).transpose(2, 3)
    vertical = _upsampling_matrix(h, height, rows, products, align_corners=align_corners)
    both = vertical.T @ wide.reshape(images, h * rows, width * channels)
    return both.view(images, height, width, channels).permute(0, 3, 1, 2)


def _upsampling_matrix(
    short: int, long: int, kernel_size: int, like: Tensor, *, align_corners: bool
) -> Tensor:
    """[short * kernel_size, long]: upsamples a line of ``short`` values and shifts it by each offset in the kernel."""
    line = torch.eye(short, device=like.device, dtype=torch.promote_types(like.dtype, torch.float32))
    if short != long:
        line = F.interpolate(line[None], size=long, mode="linear", align_corners=align_corners)[0]
    shifted = F.pad(line, (kernel_size // 2, kernel_size // 2)).unfold(1, long, 1)
    return shifted.reshape(short * kernel_size, long).to(like.dtype)
