"""Changes of an image's values, for 8-bit RGB alone: other bands have neither colors nor a gray."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from segwright.data.augmentation.geometry import erase_map
from segwright.errors import UserError
from segwright.samples import AugmentationContext, Sample


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

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The sample with changed colors; ``UserError`` if the image is not 8-bit RGB."""
        _need_rgb(sample, "color jitter")
        image, random = sample.image, context.random
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


@dataclass(slots=True)
class Blur:
    """Gaussian blur with a standard deviation of ``sigma`` (low, high) pixels."""

    sigma: tuple[float, float] = (0.1, 2.0)
    probability: float = 0.5

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The sample, blurred with probability ``probability``; ``UserError`` if it is not 8-bit RGB."""
        _need_rgb(sample, "blur")
        sigma = float(context.random.uniform(*self.sigma))
        if context.random.random() >= self.probability:
            return sample
        return replace(sample, image=cv2.GaussianBlur(sample.image, (0, 0), sigma))


@dataclass(slots=True)
class Erase:
    """A rectangle is filled with the padding value (random erasing, Zhong et al. 2017).

    It covers a part of the image drawn from ``area`` with a height of ``aspect`` times its width, drawn
    log-uniformly, and lies inside. Its map is ignored (void), or with ``keep_truth`` stays as it was, to be
    told from the surroundings.
    """

    area: tuple[float, float] = (0.02, 0.2)
    aspect: tuple[float, float] = (0.3, 3.3)
    keep_truth: bool = False
    probability: float = 0.5

    def __call__(self, sample: Sample, context: AugmentationContext) -> Sample:
        """The sample, erased with probability ``probability``; ``UserError`` if it is not 8-bit RGB."""
        _need_rgb(sample, "erase")
        random, (height, width) = context.random, sample.map.shape
        pixels = random.uniform(*self.area) * height * width
        aspect = np.exp(random.uniform(*np.log(self.aspect)))
        tall = int(np.clip(np.rint(np.sqrt(pixels * aspect)), 1, height))
        wide = int(np.clip(np.rint(np.sqrt(pixels / aspect)), 1, width))
        top, left = (int(random.integers(room + 1)) for room in (height - tall, width - wide))
        if random.random() >= self.probability:
            return sample
        place = (slice(top, top + tall), slice(left, left + wide))
        image = sample.image.copy()
        image[place] = np.rint(context.fill_value[:3])
        erased = replace(sample, image=image)
        return erased if self.keep_truth else erase_map(erased, place)


def _need_rgb(sample: Sample, what: str) -> None:
    image = sample.image
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(
            f"{sample.name}: {what} needs 8-bit RGB, found {image.dtype} {image.shape}; leave it out of the recipe"
        )
