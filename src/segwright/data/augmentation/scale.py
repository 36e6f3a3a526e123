"""Scales: how large an image becomes before it is cropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from segwright.samples import AugmentationContext


@runtime_checkable
class Scale(Protocol):
    """Chooses the size to which an image is scaled before it is cropped."""

    def __call__(self, shape: tuple[int, ...], context: AugmentationContext) -> tuple[int, int]:
        """The scaled height and width in pixels, each at least 1, of an image of ``shape`` (height, width)."""


@dataclass(slots=True)
class ScaleRange:
    """Random scale: a factor from ``low`` to ``high`` (both included), drawn uniformly.

    With ``step`` only ``low``, ``low + step``, ... are drawn. With ``logarithmic`` the logarithm of the factor is
    uniform, so that 1/2 is as likely as 2. The factor multiplies the size of the image, or the size that ``base``
    gives it. Ranges of other projects: the Inplace-ABN toolbox 0.7 to 2.1 and Pytorch-Deeplab 0.5 to 1.6, both in
    steps of 0.1; the MiniCity tutorial 0.75 to 2.0, with ``base=FixedSize(...)``; panoptic-deeplab 0.5 to 2.0 in steps
    of 0.1, on COCO with ``base=LongEdge(...)``.
    """

    low: float = 0.5
    high: float = 2.0
    step: float | None = None
    logarithmic: bool = False
    base: Scale | None = None

    def __call__(self, shape: tuple[int, ...], context: AugmentationContext) -> tuple[int, int]:
        """Height and width."""
        if self.step is not None:
            count = round((self.high - self.low) / self.step) + 1
            factor = self.low + self.step * int(context.random.integers(count))
        elif self.logarithmic:
            factor = float(np.exp(context.random.uniform(np.log(self.low), np.log(self.high))))
        else:
            factor = float(context.random.uniform(self.low, self.high))
        height, width = shape[:2] if self.base is None else self.base(shape, context)
        return _pixels(height * factor), _pixels(width * factor)


@dataclass(slots=True)
class ShortEdge:
    """The shorter side becomes one of ``sizes`` pixels; the aspect ratio is kept.

    If the longer side would then exceed ``longest``, it becomes ``longest`` instead. ``per_batch``: all images of a
    step draw the same size (as in CSAIL). ``between``: any integer from the first to the last of ``sizes`` is drawn.
    """

    sizes: tuple[int, ...]
    longest: int | None = None
    per_batch: bool = False
    between: bool = False

    def __call__(self, shape: tuple[int, ...], context: AugmentationContext) -> tuple[int, int]:
        """Height and width."""
        random = context.shared if self.per_batch else context.random
        if self.between:
            size = int(random.integers(self.sizes[0], self.sizes[-1] + 1))
        else:
            size = self.sizes[int(random.integers(len(self.sizes)))]
        factor = size / min(shape[:2])
        if self.longest is not None:
            factor = min(factor, self.longest / max(shape[:2]))
        return _pixels(shape[0] * factor), _pixels(shape[1] * factor)


@dataclass(slots=True)
class LongEdge:
    """The longer side becomes ``length`` pixels; the aspect ratio is kept."""

    length: int

    def __call__(self, shape: tuple[int, ...], context: AugmentationContext) -> tuple[int, int]:
        """Height and width."""
        factor = self.length / max(shape[:2])
        return _pixels(shape[0] * factor), _pixels(shape[1] * factor)


@dataclass(slots=True)
class FixedSize:
    """The image becomes ``size`` (height, width); with ``keep_aspect`` the largest size of its aspect ratio inside."""

    size: tuple[int, int]
    keep_aspect: bool = False

    def __call__(self, shape: tuple[int, ...], context: AugmentationContext) -> tuple[int, int]:
        """Height and width."""
        if not self.keep_aspect:
            return self.size
        factor = min(self.size[0] / shape[0], self.size[1] / shape[1])
        return _pixels(shape[0] * factor), _pixels(shape[1] * factor)


@dataclass(slots=True)
class RoundToMultiple:
    """The size that ``scale`` chooses, each side rounded up to a multiple of ``multiple``, plus ``plus``.

    ``RoundToMultiple(ShortEdge((512,), longest=1024), 32, plus=1)`` is the scale of panoptic-deeplab with a resize
    factor of 32.
    """

    scale: Scale
    multiple: int
    plus: int = 0

    def __call__(self, shape: tuple[int, ...], context: AugmentationContext) -> tuple[int, int]:
        """Height and width."""
        height, width = (
            max(1, -(-(side - self.plus) // self.multiple) * self.multiple + self.plus)
            for side in self.scale(shape, context)
        )
        return height, width


def _pixels(length: float) -> int:
    return max(1, int(length + 0.5))
