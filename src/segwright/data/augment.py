"""Augmentations of an image and its map together; what they draw comes from ``Draw`` alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.contracts import Draw, Sample, UserError


@runtime_checkable
class Augmentation(Protocol):
    """Changes a sample; everything random comes from ``draw``."""

    def __call__(self, sample: Sample, draw: Draw) -> Sample:
        """The changed sample."""


@dataclass(slots=True)
class Chain:
    """Augmentations one after the other."""

    steps: tuple[Augmentation, ...] = ()

    def __call__(self, sample: Sample, draw: Draw) -> Sample:
        """Apply each in turn."""
        for step in self.steps:
            sample = step(sample, draw)
        return sample


@dataclass(slots=True)
class View:
    """What ``RandomView`` shows until the fraction ``until`` of training: a window of ``size`` (height, width)
    into the image scaled by a factor drawn log-uniformly from ``scale``."""

    size: tuple[int, int]
    scale: tuple[float, float] = (0.5, 2.0)
    until: float = 1.0


@dataclass(slots=True)
class RandomView:
    """Random scale, crop and flip as one resize: the window is cut from the source and only it is resized.

    ``views`` follow each other over the training, so that it can begin small and fast and end in full size.
    The window lies anywhere inside the image, or around a pixel of the class that the draw names, off its
    middle by up to 0.3 of its sides. ``stretch`` varies the aspect by up to that factor. Where the window
    leaves the image the map is ignored.
    """

    views: tuple[View, ...]
    flip: float = 0.5
    stretch: float = 1.0

    def __call__(self, sample: Sample, draw: Draw) -> Sample:
        """The window, image uint8 [h, w, C] and map [h, w]."""
        view = next((v for v in self.views if draw.progress < v.until), self.views[-1])
        random, (height, width) = draw.random, view.size
        scale = np.exp(random.uniform(*np.log(view.scale)))
        tall = np.exp(random.uniform(-1, 1) * np.log(self.stretch) / 2)
        source = (height / (scale * tall), width / (scale / tall))
        point = None if draw.focus is None else _point_of(sample, draw.focus, random)
        corner = _corner(sample.map.shape, source, point, random)
        flip = bool(random.random() < self.flip)
        window = _Window(corner, source, (height, width), flip, draw.padding)
        return replace(sample, image=window.cut_image(sample.image), map=window.cut_map(sample))


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


@dataclass(slots=True)
class _Window:
    """A window of the source image and the size it is resized to."""

    corner: tuple[float, float]
    source: tuple[float, float]
    size: tuple[int, int]
    flip: bool
    padding: tuple[float, ...]

    def cut_image(self, image: NDArray[Any]) -> NDArray[Any]:
        """The window resized by bilinear sampling at pixel centers (area average below one half)."""
        (top, left), (tall, wide), (height, width) = self.corner, self.source, self.size
        step_y, step_x = tall / height, wide / width
        if max(step_y, step_x) > 2:  # bilinear would skip pixels
            shrunk = cv2.resize(image, None, fx=1 / step_x, fy=1 / step_y, interpolation=cv2.INTER_AREA)
            step = (image.shape[0] / shrunk.shape[0], image.shape[1] / shrunk.shape[1])
            inner = _Window((top / step[0], left / step[1]), self.size, self.size, self.flip, self.padding)
            return inner.cut_image(shrunk)
        sign = -1.0 if self.flip else 1.0
        origin = left + (wide if self.flip else 0.0)
        # Output pixel (x, y), center at +0.5, reads source point (a x + b): OpenCV counts centers from zero.
        matrix = np.array(
            [
                [sign * step_x, 0, origin + sign * 0.5 * step_x - 0.5],
                [0, step_y, top + 0.5 * step_y - 0.5],
            ]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, matrix, (width, height), flags=flags, borderValue=self.padding[:4])

    def cut_map(self, sample: Sample) -> NDArray[Any]:
        """The nearest map value of each output pixel; outside is ignored (void in a map of ids)."""
        (top, left), (tall, wide), (height, width) = self.corner, self.source, self.size
        rows = np.floor(top + (np.arange(height) + 0.5) * (tall / height)).astype(np.int64)
        columns = np.floor(left + (np.arange(width) + 0.5) * (wide / width)).astype(np.int64)
        if self.flip:
            columns = columns[::-1]
        inside_y = (rows >= 0) & (rows < sample.map.shape[0])
        inside_x = (columns >= 0) & (columns < sample.map.shape[1])
        if inside_y.all() and inside_x.all():
            return np.asarray(sample.map[rows].take(columns, axis=1))
        cut = np.full(self.size, 255 if sample.segments is None else 0, dtype=sample.map.dtype)
        cut[np.ix_(inside_y, inside_x)] = sample.map[rows[inside_y]].take(columns[inside_x], axis=1)
        return cut


@dataclass(slots=True)
class ColorJitter:
    """Brightness, contrast, saturation, hue and color cast of an RGB image, applied as a single color matrix.

    Factors are drawn from 1 - x .. 1 + x, for ``cast`` one a channel; ``hue`` turns the color circle by up to
    that part of a full turn.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.0
    cast: float = 0.0
    probability: float = 1.0

    def __call__(self, sample: Sample, draw: Draw) -> Sample:
        """The sample with changed colors; ``UserError`` if the image is not 8-bit RGB."""
        image = sample.image
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UserError(f"{sample.name}: color jitter needs 8-bit RGB, found {image.dtype} {image.shape}")
        random = draw.random
        bright, contrast, saturation = (
            random.uniform(1 - x, 1 + x) for x in (self.brightness, self.contrast, self.saturation)
        )
        cast = random.uniform(1 - self.cast, 1 + self.cast, (3, 1))
        turn = random.uniform(-self.hue, self.hue) * 2 * np.pi
        if random.random() >= self.probability:
            return sample
        luma = np.array([0.299, 0.587, 0.114])
        gray = np.tile(luma, (3, 1))
        # A turn of the color circle keeps luma: rotate in the plane of the two chroma axes (YIQ).
        to_yiq = np.array([luma, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
        turned = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
        hue = np.linalg.inv(to_yiq) @ turned @ to_yiq
        color = saturation * np.eye(3) + (1 - saturation) * gray
        matrix = cast * (bright * contrast * (color @ hue))
        mean = float(luma @ np.array(cv2.mean(image)[:3])) * bright
        shift = np.full((3, 1), (1 - contrast) * mean)
        return replace(sample, image=cv2.transform(image, np.hstack([matrix, shift])))
