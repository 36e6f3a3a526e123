"""Confusions by images: whether an error occurs everywhere or in a few images."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

LARGE = 0.1
"""A confusion is large in an image if it takes more than this fraction of the true class's pixels."""


@dataclass(slots=True)
class ConfusionImages:
    """Confusions by pixels and by images. The arrays are int64 [classes, classes + 1]; rows are the ground truth.

    The last column is "no class". ``pixels``: the confusion matrix. ``images``: how many images have at least one such
    pixel; on the diagonal, how many have a correct pixel. ``large``: in how many images the confusion takes more than
    ``LARGE`` of the pixels of the true class. ``most``: the index of the image with the most such pixels, and its
    number of pixels in ``most_pixels``; -1 and 0 if there is none.
    """

    classes: int
    pixels: NDArray[np.int64] = field(init=False)
    images: NDArray[np.int64] = field(init=False)
    large: NDArray[np.int64] = field(init=False)
    most: NDArray[np.int64] = field(init=False)
    most_pixels: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Start from zero."""
        shape = (self.classes, self.classes + 1)
        self.pixels, self.images, self.large, self.most_pixels = (np.zeros(shape, np.int64) for _ in range(4))
        self.most = np.full(shape, -1, np.int64)

    def add(self, counts: NDArray[np.int64], index: int) -> None:
        """Count the image at ``index``, whose confusion matrix is ``counts``."""
        self.pixels += counts
        self.images += counts > 0
        self.large += counts > LARGE * counts.sum(1, keepdims=True)
        more = counts > self.most_pixels
        self.most[more] = index
        self.most_pixels[more] = counts[more]
