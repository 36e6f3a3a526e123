"""Random crops: scale, crop, flip and rotation of an image and its map together.

Everything random comes from the ``AugmentationContext``, so the same seed and position give the same sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from segwright.data.augmentation.geometry import Window, drop_empty_segments
from segwright.data.augmentation.scale import Scale, ScaleRange
from segwright.errors import UserError
from segwright.samples import AugmentationContext, Sample


@runtime_checkable
class Augmentation(Protocol):
    """Changes a sample. All random numbers come from ``context``."""

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The changed sample; the arrays of ``sample`` stay as they are."""


@dataclass(slots=True)
class Compose:
    """Applies several augmentations in order.

    ``steps``: the augmentations.
    """

    steps: tuple[Augmentation, ...] = ()

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The sample after all steps."""
        for step in self.steps:
            sample = step(sample, context)
        return sample


@dataclass(slots=True)
class CropStage:
    """A stage of ``ProgressiveCrop``: crops of ``size`` (height, width) at a random scale, until a time in training.

    The scale factor is drawn log-uniformly from ``scale`` (low, high). ``until`` is a fraction of the training.
    """

    size: tuple[int, int]
    scale: tuple[float, float] = (0.5, 2.0)
    until: float = 1.0


@dataclass(slots=True)
class ProgressiveCrop:
    """Random scale, crop and flip in one resize, with a crop size that can change during training.

    ``stages`` follow each other, so that training can start with small, fast crops and end with full-size ones. The
    crop lies anywhere inside the image. If the sampling asks for a class, the crop contains a random pixel of it, up
    to 0.3 of the crop's sides away from the center. ``flip`` is the probability of a horizontal flip. ``stretch``
    varies the aspect ratio by a factor of up to that number. Where the crop extends beyond the image, the image is
    padded and the map is ignored.
    """

    stages: tuple[CropStage, ...]
    flip: float = 0.5
    stretch: float = 1.0

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The crop: image [h, w, C] in the dtype of the sample, map [h, w]."""
        stage = next((stage for stage in self.stages if context.progress < stage.until), self.stages[-1])
        random, (height, width) = context.random, stage.size
        scale = np.exp(random.uniform(*np.log(stage.scale)))
        aspect = np.exp(random.uniform(-1, 1) * np.log(self.stretch) / 2)
        source_size = (height / (scale * aspect), width / (scale / aspect))
        point = _target_point(sample, context)
        corner = _crop_corner(sample.map.shape, source_size, point, random)
        flip = bool(random.random() < self.flip)
        window = Window(corner, source_size, (height, width), flip, context.fill_value)
        # A warp, not ``window.crop``: the published scores come from trainings on exactly these pixels.
        cropped = replace(sample, image=window.warp_image(sample.image), map=window.crop_map(sample))
        return drop_empty_segments(cropped)


@dataclass(slots=True)
class RandomCrop:
    """Random scale, rotation, crop and flip in one resampling: only the pixels that are kept are resized.

    ``scale`` chooses the size of the scaled image. A crop of ``size`` (height, width; odd numbers are fine) is taken
    from it; None keeps the entire scaled image. The crop starts at a random whole pixel of the source. If the sampling
    asks for a class, the crop contains a random pixel of it. ``flip`` is the probability of a horizontal flip.

    An image smaller than the crop is padded, and its map is ignored there. ``anchor`` places it: "top_left" pads on
    the right and at the bottom, "random" on all four sides (as panoptic-deeplab does). With probability
    ``rotate_probability`` the crop is rotated about its center by a random angle from -``rotate`` to ``rotate``
    degrees (CSAIL on Cityscapes: 10 degrees, probability 0.5).
    """

    size: tuple[int, int] | None = None
    scale: Scale = field(default_factory=ScaleRange)
    flip: float = 0.5
    anchor: Literal["top_left", "random"] = "top_left"
    rotate: float = 0.0
    rotate_probability: float = 1.0

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The crop: image [h, w, C] in the dtype of the sample, map [h, w]; ``UserError`` if their sizes differ."""
        _require_equal_sizes(sample)
        random, shape = context.random, sample.map.shape
        scaled = self.scale(shape, context)
        size = self.size or scaled
        point = _target_point(sample, context)
        top, left = (
            self._start(random, shape[axis], scaled[axis], size[axis], point and point[axis])
            for axis in (0, 1)
        )
        rotated = self.rotate and random.random() < self.rotate_probability
        angle = float(random.uniform(-self.rotate, self.rotate)) if rotated else 0.0
        flip = bool(random.random() < self.flip)
        source_size = (size[0] * shape[0] / scaled[0], size[1] * shape[1] / scaled[1])
        return Window((top, left), source_size, size, flip, context.fill_value, angle).crop(sample)

    def _start(
        self, random: np.random.Generator, side: int, scaled: int, cropped: int, point: float | None
    ) -> float:
        """The source position along an axis at which the crop starts.

        The axis has ``side`` pixels, ``scaled`` after scaling, of which ``cropped`` are kept; ``point`` is a source
        position inside the crop.
        """
        step = side / scaled
        if cropped > scaled:
            padding = int(random.integers(cropped - scaled + 1)) if self.anchor == "random" else 0
            return -padding * step
        last = int(side - cropped * step + 1e-6)  # the last whole pixel from which the crop fits
        if point is None:
            return float(random.integers(last + 1))
        return float(np.clip(np.rint(point - cropped * step * random.uniform(0.2, 0.8)), 0, last))


def _target_point(sample: Sample, context: AugmentationContext) -> tuple[float, float] | None:
    """A random pixel (row, column) of the class that the crop should contain; None without such a class or pixel."""
    if context.target_class is None:
        return None
    classes = sample.semantic()
    pixels = np.flatnonzero(classes.ravel() == context.target_class)
    if not len(pixels):
        return None
    row, column = divmod(int(pixels[context.random.integers(len(pixels))]), classes.shape[1])
    return float(row), float(column)


def _crop_corner(
    shape: tuple[int, ...],
    source_size: tuple[float, float],
    point: tuple[float, float] | None,
    random: np.random.Generator,
) -> tuple[float, float]:
    """Top left of a crop of ``source_size``: inside the image if it fits, else such that it contains the image."""
    corner = []
    for side, length, position in zip(shape, source_size, point or (None, None), strict=False):
        low, high = min(0.0, side - length), max(0.0, side - length)
        if position is None:
            start = random.uniform(low, high)
        else:  # staying inside the image is more important than the distance from the point
            start = np.clip(position - length * random.uniform(0.2, 0.8), low, high)
        corner.append(float(np.rint(start)))  # whole pixels, so that an unscaled crop stays sharp
    return corner[0], corner[1]


def _require_equal_sizes(sample: Sample) -> None:
    if sample.image.shape[:2] != sample.map.shape:
        raise UserError(
            f"{sample.name}: image is {sample.image.shape[0]}x{sample.image.shape[1]}, its map "
            f"{sample.map.shape[0]}x{sample.map.shape[1]} (height x width); expected one size"
        )
