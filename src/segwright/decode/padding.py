"""Cutting off the padding of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def remove_padding(maps: NDArray[Any], sizes: tuple[tuple[int, int], ...]) -> list[NDArray[Any]]:
    """The maps [N, ..., H, W] of a batch as one contiguous array [..., h, w] per image, cut to ``sizes`` (h, w)."""
    return [np.ascontiguousarray(image[..., :h, :w]) for image, (h, w) in zip(maps, sizes, strict=True)]
