"""Photometric augmentations: they change pixel values, and never move pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.augmentation.geometry import ignore_region
from segwright.samples import AugmentationContext, Sample


@dataclass(slots=True)
class ColorJitter:
    """Random brightness, contrast, saturation, hue and color cast, applied as one color matrix.

    The factors of ``brightness``, ``contrast`` and ``saturation`` are drawn uniformly from 1 - x to 1 + x; ``cast``
    draws one factor per channel. ``hue`` rotates the color circle by up to that fraction of a full turn.
    ``probability``: how often the colors are changed.

    Images that are not 8-bit RGB have no saturation and no hue. Their brightness, contrast (of each band about its own
    mean) and cast are changed.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.0
    cast: float = 0.0
    probability: float = 1.0

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The sample, with probability ``probability`` with changed colors."""
        image, random = sample.image, context.random
        brightness, contrast, saturation = (
            random.uniform(1 - x, 1 + x) for x in (self.brightness, self.contrast, self.saturation)
        )
        cast = random.uniform(1 - self.cast, 1 + self.cast, (image.shape[2], 1))
        angle = random.uniform(-self.hue, self.hue) * 2 * np.pi
        if random.random() >= self.probability:
            return sample
        if image.dtype != np.uint8 or image.shape[2] != 3:
            return replace(sample, image=_jittered_bands(image, brightness * cast[:, 0], contrast))
        luma = np.array([0.299, 0.587, 0.114])
        gray = np.tile(luma, (3, 1))
        # A hue rotation keeps the luma: it rotates the two chroma axes of YIQ.
        to_yiq = np.array([luma, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
        rotation = np.array(
            [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
        )
        hue = np.linalg.inv(to_yiq) @ rotation @ to_yiq
        color = saturation * np.eye(3) + (1 - saturation) * gray
        matrix = cast * (brightness * contrast * (color @ hue))
        mean = float(luma @ np.array(cv2.mean(image)[:3])) * brightness
        shift = np.full((3, 1), (1 - contrast) * mean)
        return replace(sample, image=cv2.transform(image, np.hstack([matrix, shift])))


@dataclass(slots=True)
class Blur:
    """Gaussian blur with a standard deviation drawn from ``sigma`` (low, high), in pixels.

    ``probability``: how often an image is blurred.
    """

    sigma: tuple[float, float] = (0.1, 2.0)
    probability: float = 0.5

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The sample, with probability ``probability`` blurred."""
        sigma = float(context.random.uniform(*self.sigma))
        if context.random.random() >= self.probability:
            return sample
        blurred = cv2.GaussianBlur(sample.image, (0, 0), sigma)
        # OpenCV drops the axis of a single band.
        return replace(sample, image=blurred.reshape(sample.image.shape))


@dataclass(slots=True)
class Erase:
    """Random erasing (Zhong et al. 2017): a rectangle inside the image is filled with the padding value.

    Its area is a fraction of the image, drawn uniformly from ``area`` (low, high). Its height divided by its width is
    drawn log-uniformly from ``aspect``. The map is ignored (void) there; with ``keep_truth`` it stays unchanged, so
    that the model must infer the classes from the surroundings. ``probability``: how often a rectangle is filled.
    """

    area: tuple[float, float] = (0.02, 0.2)
    aspect: tuple[float, float] = (0.3, 3.3)
    keep_truth: bool = False
    probability: float = 0.5

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The sample, with probability ``probability`` erased."""
        random, (height, width) = context.random, sample.map.shape
        area = random.uniform(*self.area) * height * width
        aspect = np.exp(random.uniform(*np.log(self.aspect)))
        box_height = int(np.clip(np.rint(np.sqrt(area * aspect)), 1, height))
        box_width = int(np.clip(np.rint(np.sqrt(area / aspect)), 1, width))
        top, left = (int(random.integers(room + 1)) for room in (height - box_height, width - box_width))
        if random.random() >= self.probability:
            return sample
        region = (slice(top, top + box_height), slice(left, left + box_width))
        image = sample.image.copy()
        fill = np.array(context.fill_value[: image.shape[2]])
        image[region] = fill if image.dtype == np.float32 else np.rint(fill)
        erased = replace(sample, image=image)
        return erased if self.keep_truth else ignore_region(erased, region)


def _jittered_bands(image: NDArray[Any], factors: NDArray[np.float64], contrast: float) -> NDArray[Any]:
    """Each band multiplied by its factor, and its differences from its mean by ``contrast``; of the same type."""
    mean = image.mean((0, 1), dtype=np.float64)
    values = image * (factors * contrast).astype(np.float32)
    values += (mean * factors * (1 - contrast)).astype(np.float32)
    if image.dtype.kind == "f":
        return values
    largest = np.iinfo(image.dtype).max
    return np.clip(np.rint(values, out=values), 0, largest, out=values).astype(image.dtype)
