"""A canvas for generated scenes: each shape is drawn into the image and into the map of segment ids at once.

World points are (right, up, ahead) in meters, from the ground below a pinhole camera. Colors are RGB, 0..255.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import cos, exp, pi, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.labels import IGNORED
from segwright.samples import Segment

Number = float | int  # the run-time type checker of the tests does not accept an int as a float
Color = tuple[Number, Number, Number]
Shape = Sequence[tuple[Number, Number]]

VOID = 0
"""The id of pixels of no segment. The ids 1 .. classes are the classes as stuff, higher ids are things."""

# Color of the sky at the top and at the horizon, and strength of the sun.
WEATHER: tuple[tuple[Color, Color, Number], ...] = (
    ((72, 132, 206), (196, 218, 234), 1.0), ((104, 158, 214), (226, 228, 222), 0.9),
    ((172, 176, 182), (206, 207, 210), 0.0), ((152, 158, 168), (190, 193, 198), 0.0),
    ((128, 140, 172), (240, 206, 166), 0.8), ((112, 114, 164), (232, 176, 150), 0.6),
)  # fmt: skip
_CIRCLE = tuple((cos(k * pi / 6), sin(k * pi / 6)) for k in range(12))


class Palette:
    """Colors of materials, RGB. Grays and browns occur in nearly all of them."""

    WALLS: tuple[Color, ...] = (
        (158, 88, 68), (208, 188, 152), (150, 150, 148), (98, 99, 104), (224, 221, 212), (126, 136, 120),
        (122, 144, 174), (122, 92, 72), (206, 156, 88), (200, 148, 140),
    )  # fmt: skip
    LEAVES: tuple[Color, ...] = (
        (74, 116, 56), (108, 126, 62), (48, 86, 50), (124, 164, 74), (146, 140, 52),
    )  # fmt: skip
    PAINTS: tuple[Color, ...] = (
        (34, 35, 38), (92, 94, 98), (136, 138, 142), (186, 188, 190), (234, 234, 230), (168, 38, 40),
        (42, 74, 140), (50, 96, 68), (214, 170, 48), (130, 100, 78), (96, 150, 190),
    )  # fmt: skip
    ASPHALT: tuple[Color, ...] = ((64, 63, 66), (80, 80, 84), (98, 98, 102), (116, 116, 118))
    PAVING: tuple[Color, ...] = ((148, 134, 122), (172, 150, 136), (188, 180, 166), (166, 158, 154))
    METALS: tuple[Color, ...] = ((58, 62, 66), (92, 94, 98), (124, 128, 132), (66, 84, 78))
    GLASS: tuple[Color, ...] = ((38, 44, 52), (68, 76, 86), (104, 118, 132))
    PLATES: tuple[Color, ...] = ((232, 232, 228), (200, 40, 40), (40, 80, 160), (230, 190, 50))
    SKIN: tuple[Color, ...] = ((236, 196, 168), (198, 146, 112), (142, 96, 68), (92, 62, 46))
    HAIR: tuple[Color, ...] = ((40, 32, 28), (110, 80, 50), (190, 160, 100), (150, 150, 150))
    DARK, WHITE, RED = (26.0, 26.0, 28.0), (222.0, 222.0, 216.0), (206.0, 30.0, 34.0)


class Canvas:
    """``image`` uint8 [H, W, 3], segment ``ids`` uint8 [H, W], the camera and the random generator of one scene."""

    def __init__(self, random: np.random.Generator, size: tuple[int, int], classes: int) -> None:
        self.random, self.classes, (self.height, self.width) = random, classes, size
        self.image: NDArray[np.uint8] = np.zeros((*size, 3), np.uint8)
        self.ids: NDArray[np.uint8] = np.zeros(size, np.uint8)
        self.things: list[Segment] = []
        self.haze: Color = (200.0, 200.0, 200.0)
        self.sun = 0.0  # strength; negative if the sun is on the left
        self._numbers = _uniform(random)
        between = self.between
        self.focal, self.eye = self.width * between(0.82, 1.02), between(1.4, 1.9)
        self.tilt = between(-0.03, 0.03)
        self.center, self.horizon = self.width * between(0.36, 0.64), self.height * between(0.4, 0.54)

    def between(self, low: Number, high: Number) -> Number:
        """A random number from ``low`` to ``high``."""
        return low + (high - low) * next(self._numbers)

    def chance(self, probability: Number) -> bool:
        """True with the given probability."""
        return next(self._numbers) < probability

    def pick(self, colors: Sequence[Color], spread: Number = 12.0) -> Color:
        """A random one of the colors, with a random deviation of about ``spread``."""
        red, green, blue = colors[int(next(self._numbers) * len(colors))]
        light, warm = self.between(-2 * spread, 2 * spread), self.between(-spread, spread) / 2
        return red + light + warm, green + light, blue + light - warm

    def add(self, class_index: int, crowd: bool = False) -> int:
        """The id of a new thing. A scene has about thirty; uint8 allows more than two hundred."""
        identity = self.classes + 1 + len(self.things)
        assert identity < 256
        self.things.append(Segment(identity, class_index, crowd))
        return identity

    def segments(self) -> tuple[Segment, ...]:
        """The segments with at least one visible pixel, sorted by id."""
        pixels = np.bincount(self.ids.ravel(), minlength=256)
        stuff = (Segment(index + 1, index) for index in range(self.classes))
        return tuple(segment for segment in (*stuff, *self.things) if pixels[segment.id])

    def semantic(self) -> NDArray[np.uint8]:
        """Class index of every pixel, uint8 [H, W], 255 = ignored."""
        table = np.full(256, IGNORED, np.uint8)
        table[1 : self.classes + 1] = np.arange(self.classes)
        for thing in self.things:
            table[thing.id] = thing.class_index
        return table[self.ids]

    def pixel(self, right: Number, up: Number, ahead: Number) -> tuple[int, int]:
        """The image position (x, y) of a world point, in sixteenths of a pixel (fixed point, as OpenCV expects)."""
        scale = self.focal / ahead
        x = self.center + right * scale
        y = self.horizon + (self.eye - up) * scale + self.tilt * (x - self.width / 2)
        return int(16 * x), int(16 * y)

    def is_visible(self, right: Number, ahead: Number, reach: Number) -> bool:
        """Whether an object that extends ``reach`` meters to both sides can be in the image."""
        x, margin = self.pixel(right, 0, ahead)[0], 16 * reach * self.focal / ahead
        return -margin < x < 16 * self.width + margin

    def min_width(self, meters: Number, ahead: Number) -> Number:
        """``meters``, or more if that is less than 1/25 of the image width: thinner objects would be label noise."""
        return max(meters, self.width / 25 * ahead / self.focal)

    def fade(self, color: Color, ahead: Number) -> Color:
        """The color at a distance of ``ahead`` meters: it approaches the color of the haze."""
        a, (red, green, blue) = 1 - exp(-ahead / 90), self.haze
        return (
            color[0] + a * (red - color[0]),
            color[1] + a * (green - color[1]),
            color[2] + a * (blue - color[2]),
        )

    def floor(
        self, x: tuple[Number, Number], z: tuple[Number, Number], color: Color, identity: int | None = None
    ) -> None:
        """Draws a rectangle on the ground, ``x`` (left, right), ``z`` (near, far); without an id, ids do not change."""
        points = np.array(self.outline(x, z), np.int32)
        self._stroke(points, self.fade(color, z[0]), identity)

    def outline(self, x: tuple[Number, Number], z: tuple[Number, Number]) -> list[tuple[int, int]]:
        """The image positions of the corners of a rectangle on the ground."""
        corners = ((x[0], z[0]), (x[1], z[0]), (x[1], z[1]), (x[0], z[1]))
        return [self.pixel(right, 0, ahead) for right, ahead in corners]

    def side(self, x: Number, shape: Shape, color: Color, identity: int | None = None) -> None:
        """Draws a convex shape of points (ahead, up) in the vertical plane at ``x``, parallel to the street."""
        points = np.array([self.pixel(x, up, ahead) for ahead, up in shape], np.int32)
        self._stroke(points, self.fade(color, shape[0][0]), identity)

    def painter(self, right: Number, ahead: Number, identity: int) -> Callable[..., None]:
        """A function that draws convex shapes of points (right, up) in the plane at ``ahead`` that faces the camera."""
        # A partial, not a closure: the type checker of the tests would decorate a closure again at every call.
        return partial(self._paint, (right, ahead), identity)

    def _paint(
        self, position: tuple[Number, Number], identity: int, shape: Shape, color: Color, labeled: bool = True
    ) -> None:
        scale, (x, y) = 16 * self.focal / position[1], self.pixel(position[0], 0, position[1])
        lean = scale * self.tilt
        points = [(int(x + u * scale), int(y - v * scale + u * lean)) for u, v in shape]
        self._stroke(np.array(points, np.int32), self.fade(color, position[1]), identity if labeled else None)

    def discs(
        self,
        position: tuple[Number, Number],
        discs: list[tuple[Number, Number, Number, Color]],
        identity: int,
    ) -> None:
        """Draws discs (right, up, radius, color) relative to a position (right, ahead), the last one in front."""
        scale, origin = 16 * self.focal / position[1], self.pixel(position[0], 0, position[1])
        values = np.array([disc[:3] for disc in discs]) * scale
        centers = values[:, :2] * (1, -1) + origin + np.outer(values[:, 0], (0, self.tilt))
        rings = (centers[:, None] + values[:, 2, None, None] * np.array(_CIRCLE)).astype(np.int32)
        for ring, disc in zip(rings, discs, strict=True):
            self._stroke(ring, self.fade(disc[3], position[1]), identity)

    def sky(self, identity: int) -> None:
        """Draws a gradient with clouds, and chooses ``haze`` and ``sun``."""
        top, low, sun = WEATHER[int(self.between(0, len(WEATHER)))]
        self.haze, self.sun = low, sun if self.chance(0.5) else -sun
        height, width = self.ids.shape
        self.ids[:] = identity
        rows = min(height, int(self.horizon + 0.06 * width))
        ramp = np.clip(np.arange(rows) / self.horizon, 0, 1)[:, None, None].astype(np.float32)
        upper, lower = np.array(top, np.float32), np.array(low, np.float32)
        sky = upper * (1 - ramp) + lower * ramp + np.float32(self.between(-14, 14))
        noise = self.random.standard_normal((5, 4), np.float32)
        cloud = cv2.resize(noise, (width, rows), interpolation=cv2.INTER_CUBIC).clip(0, 1)[..., None]
        self.image[:rows] = (sky + cloud * (np.float32(self.between(5, 45)) * (1 - 0.6 * ramp))).clip(0, 255)

    def _stroke(self, points: NDArray[np.int32], color: Color, identity: int | None) -> None:
        cv2.fillConvexPoly(self.image, points, color, cv2.LINE_AA, 4)
        if identity is not None:
            cv2.fillConvexPoly(self.ids, points, (identity,), cv2.LINE_8, 4)

    def hood(self) -> None:
        """Draws the hood of the car with the camera: ignored pixels."""
        color, width, height = self.pick(Palette.PAINTS), self.width, self.height
        middle = (int(width * self.between(0.4, 0.6)), int(height * self.between(1.04, 1.08)))
        a, b = int(width * self.between(0.4, 0.62)), int(height * self.between(0.1, 0.17))
        cv2.ellipse(self.ids, middle, (a, b), 0, 0, 360, (VOID,), -1)
        cv2.ellipse(self.image, middle, (a, b), 0, 0, 360, color, -1, cv2.LINE_AA)
        cv2.ellipse(
            self.image, middle, (a * 3 // 4, b * 3 // 4), 0, 0, 360, shade(color, 1.15), -1, cv2.LINE_AA
        )

    def add_texture(self, strength: NDArray[np.float32]) -> None:
        """Adds coarse and fine texture (``strength`` [2, 256], by id), uneven light, a color cast and noise."""
        random, size = self.random, (self.width, self.height)
        small = random.standard_normal((self.height // 3 + 1, self.width // 3 + 1), np.float32)
        gain = 1 + cv2.resize(small, size) * cv2.LUT(self.ids, strength[0])
        gain += _grain(random, self.ids.shape) * cv2.LUT(self.ids, strength[1])
        lights = random.uniform(0.9, 1.1, (2, 3)) * self.between(0.86, 1.1)
        gain *= cv2.resize(lights.astype(np.float32), size)
        gains = cv2.merge([gain * np.float32(cast) for cast in random.uniform(0.94, 1.06, 3)])
        picture = cv2.multiply(self.image, gains, dtype=cv2.CV_32F)
        picture += _grain(random, self.image.shape) * np.float32(1.8)
        self.image = picture.clip(0, 255).astype(np.uint8)


def shade(color: Color, factor: Number) -> Color:
    """The color, darker (``factor`` below 1) or lighter."""
    return color[0] * factor, color[1] * factor, color[2] * factor


def steps(first: Number, last: Number, step: Number) -> list[Number]:
    """Numbers from ``first`` to ``last`` at intervals of ``step``."""
    return [first + step * k for k in range(int((last - first) / step) + 1)] if last > first else []


def span(left: Number, right: Number, low: Number, high: Number) -> list[tuple[Number, Number]]:
    """The corners of a vertical rectangle."""
    return [(left, low), (right, low), (right, high), (left, high)]


def box(width: Number, low: Number, high: Number, middle: Number = 0.0) -> list[tuple[Number, Number]]:
    """The corners of a vertical rectangle that is centered at ``middle``."""
    return span(middle - width / 2, middle + width / 2, low, high)


def ring(x: Number, y: Number, width: Number, height: Number) -> list[tuple[Number, Number]]:
    """The outline of an ellipse with half axes ``width`` and ``height``."""
    return [(x + width * u, y + height * v) for u, v in _CIRCLE]


def _uniform(random: np.random.Generator) -> Iterator[Number]:
    """Endless random numbers in [0, 1), drawn in blocks because single draws are slow."""
    while True:
        yield from random.random(1024).tolist()


def _grain(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Uniform noise in [-2, 2), made from raw bytes because that is fast."""
    noise = np.frombuffer(random.bytes(int(np.prod(shape))), np.int8).reshape(shape)
    return np.multiply(noise, 1 / 64, dtype=np.float32)
