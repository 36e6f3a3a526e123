"""Position embeddings of vision transformers that were trained with images of another size."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor, nn


def resample_positions(
    model: nn.Module, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """``tensors`` with position embeddings [1, prefix + patches, C] resampled to those of ``model``; what was changed.

    Only those of square images in transformers of timm are; all others stay as they are.
    """
    result, notes = dict(tensors), []
    for name, module in model.named_modules():
        key = f"{name}.pos_embed" if name else "pos_embed"
        own, given = getattr(module, "pos_embed", None), tensors.get(key)
        grid: Any = getattr(getattr(module, "patch_embed", None), "grid_size", None)
        if given is None or grid is None or not isinstance(own, Tensor) or own.ndim != 3 or given.ndim != 3:
            continue
        prefix = own.shape[1] - grid[0] * grid[1]
        side = isqrt(max(0, given.shape[1] - prefix))
        if given.shape[1] == own.shape[1] or prefix < 0 or side**2 + prefix != given.shape[1] or not side:
            continue
        from timm.layers.pos_embed import resample_abs_pos_embed

        result[key] = resample_abs_pos_embed(given, list(grid), [side, side], num_prefix_tokens=prefix)
        notes.append(f"{key} was resampled from {side}x{side} to {grid[0]}x{grid[1]} patches")
    return result, tuple(notes)
