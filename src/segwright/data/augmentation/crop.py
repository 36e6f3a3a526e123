"""Augmentations of an image and its map together; what they draw comes from ``AugmentationContext`` alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from segwright.data.augmentation.geometry import Scale, ScaleRange, Window, without_unseen
from segwright.errors import UserError
from segwright.samples import AugmentationContext, Sample


@runtime_checkable
class Augmentation(Protocol):
    """Changes a sample; everything random comes from ``context``."""

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The changed sample."""


@dataclass(slots=True)
class Compose:
    """Augmentations one after the other."""

    steps: tuple[Augmentation, ...] = ()

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """Apply each in turn."""
        for step in self.steps:
            sample = step(sample, context)
        return sample


@dataclass(slots=True)
class CropStage:
    """What ``ProgressiveCrop`` shows until the fraction ``until`` of training: a window of ``size`` (height, width)
    into the image scaled by a factor drawn log-uniformly from ``scale``."""

    size: tuple[int, int]
    scale: tuple[float, float] = (0.5, 2.0)
    until: float = 1.0


@dataclass(slots=True)
class ProgressiveCrop:
    """Random scale, crop and flip as one resize: the window is cut from the source and only it is resized.

    ``stages`` follow each other over the training, so that it can begin small and fast and end in full size.
    The window lies anywhere inside the image, or around a pixel of the class that the draw names, off its
    middle by up to 0.3 of its sides. ``stretch`` varies the aspect by up to that factor. Where the window
    leaves the image the map is ignored.
    """

    stages: tuple[CropStage, ...]
    flip: float = 0.5
    stretch: float = 1.0

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The window, image uint8 [h, w, C] and map [h, w]."""
        view = next((v for v in self.stages if context.progress < v.until), self.stages[-1])
        random, (height, width) = context.random, view.size
        scale = np.exp(random.uniform(*np.log(view.scale)))
        tall = np.exp(random.uniform(-1, 1) * np.log(self.stretch) / 2)
        source = (height / (scale * tall), width / (scale / tall))
        point = None if context.target_class is None else _point_of(sample, context.target_class, random)
        corner = _corner(sample.map.shape, source, point, random)
        flip = bool(random.random() < self.flip)
        window = Window(corner, source, (height, width), flip, context.fill_value)
        # A warp, not ``window.cut``: published figures were trained on its very pixels.
        made = replace(sample, image=window.warp_image(sample.image), map=window.cut_map(sample))
        return without_unseen(made)


@dataclass(slots=True)
class RandomCrop:
    """Random scale, rotation, crop and flip in one sampling: only what is kept is resized.

    ``scale`` says how large the whole image becomes, of which ``size`` (height, width; odd is fine) is kept,
    or all of it if None. The crop lies anywhere inside, at a whole pixel of the source, or around a pixel of
    the class that the draw names. An image smaller than the crop is padded: right and below, or on four sides
    at random (S5); the map is ignored there. With probability ``rotate_probability`` the crop is turned about
    its middle by an angle from -``rotate`` to ``rotate`` degrees (S2 on Cityscapes: 10, 0.5).
    """

    size: tuple[int, int] | None = None
    scale: Scale = field(default_factory=ScaleRange)
    flip: float = 0.5
    anchor: Literal["top_left", "random"] = "top_left"
    rotate: float = 0.0
    rotate_probability: float = 1.0

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The crop, image [h, w, C] in the dtype of the source and map [h, w]; ``UserError`` for unequal sizes."""
        _need_equal_sizes(sample)
        random, shape = context.random, sample.map.shape
        scaled = self.scale(shape, context)
        size = self.size or scaled
        point = None if context.target_class is None else _point_of(sample, context.target_class, random)
        top, left = (
            self._begin(random, shape[axis], scaled[axis], size[axis], point and point[axis])
            for axis in (0, 1)
        )
        turned = self.rotate and random.random() < self.rotate_probability
        angle = float(random.uniform(-self.rotate, self.rotate)) if turned else 0.0
        flip = bool(random.random() < self.flip)
        source = (size[0] * shape[0] / scaled[0], size[1] * shape[1] / scaled[1])
        return Window((top, left), source, size, flip, context.fill_value, angle).cut(sample)

    def _begin(
        self, random: np.random.Generator, side: int, scaled: int, kept: int, point: float | None
    ) -> float:
        """Where on the source's axis of ``side`` pixels the ``kept`` of its ``scaled`` pixels begin."""
        step = side / scaled
        if kept > scaled:
            before = int(random.integers(kept - scaled + 1)) if self.anchor == "random" else 0
            return -before * step
        last = int(side - kept * step + 1e-6)  # the last whole pixel from which the crop stays inside
        if point is None:
            return float(random.integers(last + 1))
        return float(np.clip(np.rint(point - kept * step * random.uniform(0.2, 0.8)), 0, last))


def _point_of(sample: Sample, class_index: int, random: np.random.Generator) -> tuple[float, float] | None:
    """A pixel (row, column) of the class, each equally likely."""
    classes = sample.semantic()
    found = np.flatnonzero(classes.ravel() == class_index)
    if not len(found):
        return None
    row, column = divmod(int(found[random.integers(len(found))]), classes.shape[1])
    return float(row), float(column)


def _corner(
    shape: tuple[int, ...],
    source: tuple[float, float],
    point: tuple[float, float] | None,
    random: np.random.Generator,
) -> tuple[float, float]:
    """Top left of the source window: inside the image where it fits, else the image inside the window."""
    corner = []
    for side, length, place in zip(shape, source, point or (None, None), strict=False):
        low, high = min(0.0, side - length), max(0.0, side - length)
        if place is None:
            corner.append(float(np.rint(random.uniform(low, high))))  # whole pixels: unscaled stays sharp
        else:  # inside the image comes before around the point
            corner.append(float(np.rint(np.clip(place - length * random.uniform(0.2, 0.8), low, high))))
    return corner[0], corner[1]


def _need_equal_sizes(sample: Sample) -> None:
    if sample.image.shape[:2] != sample.map.shape:
        raise UserError(
            f"{sample.name}: image is {sample.image.shape[0]}x{sample.image.shape[1]}, its map "
            f"{sample.map.shape[0]}x{sample.map.shape[1]} (height x width); expected one size"
        )
