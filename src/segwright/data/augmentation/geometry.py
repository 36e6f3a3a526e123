"""Geometry: how large an image becomes, and the window that scales, rotates, crops and flips in one sampling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, cos, radians, sin
from typing import Any, NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.samples import IGNORED, AugmentationContext, Sample


@runtime_checkable
class Scale(Protocol):
    """Says how large a whole image becomes; only the part that is kept is then resized."""

    def __call__(self, shape: tuple[int, ...], context: AugmentationContext) -> tuple[int, int]:
        """Height and width in pixels, at least 1, of the scaled image of ``shape`` (height, width)."""


@dataclass(slots=True)
class ScaleRange:
    """A factor from ``low`` to ``high``, both included: any, or ``low`` plus a multiple of ``step``.

    Uniform, or with ``logarithmic`` as often smaller by a factor as larger by it. Factor 1 is the image as it
    is, or what ``of`` makes of it (S4: ``Fixed``; S5 on COCO: ``LongEdge``). S1 draws from 0.7 to 2.1 and S3
    from 0.5 to 1.6 in steps of 0.1, S4 from 0.75 to 2.0 without, S5 from 0.5 to 2.0 in steps of 0.1.
    """

    low: float = 0.5
    high: float = 2.0
    step: float | None = None
    logarithmic: bool = False
    of: Scale | None = None

    def __call__(self, shape: tuple[int, ...], context: AugmentationContext) -> tuple[int, int]:
        """Height and width."""
        if self.step is not None:
            factor = self.low + self.step * int(
                context.random.integers(round((self.high - self.low) / self.step) + 1)
            )
        elif self.logarithmic:
            factor = float(np.exp(context.random.uniform(np.log(self.low), np.log(self.high))))
        else:
            factor = float(context.random.uniform(self.low, self.high))
        height, width = shape[:2] if self.of is None else self.of(shape, context)
        return _pixels(height * factor), _pixels(width * factor)


@dataclass(slots=True)
class ShortEdge:
    """The shorter side becomes one of ``sizes``, unless the longer one would then exceed ``longest``.

    With ``per_batch`` all images of a step draw the same size (S2), with ``between`` it is any whole number
    from the first of ``sizes`` to the last.
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
    """The longer side becomes ``length`` and the aspect stays."""

    length: int

    def __call__(self, shape: tuple[int, ...], context: AugmentationContext) -> tuple[int, int]:
        """Height and width."""
        factor = self.length / max(shape[:2])
        return _pixels(shape[0] * factor), _pixels(shape[1] * factor)


@dataclass(slots=True)
class Fixed:
    """The image becomes ``size`` (height, width), or with ``keep_aspect`` the largest that fits into it."""

    size: tuple[int, int]
    keep_aspect: bool = False

    def __call__(self, shape: tuple[int, ...], context: AugmentationContext) -> tuple[int, int]:
        """Height and width."""
        if not self.keep_aspect:
            return self.size
        factor = min(self.size[0] / shape[0], self.size[1] / shape[1])
        return _pixels(shape[0] * factor), _pixels(shape[1] * factor)


@dataclass(slots=True)
class Rounded:
    """What ``scale`` says, each side raised to the next multiple of ``multiple``, plus ``plus``.

    ``Rounded(ShortEdge((512,), longest=1024), 32, plus=1)`` is S5's range with a resize factor of 32.
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


@dataclass(frozen=True, slots=True)
class Window:
    """A window of an image and the ``size`` (height, width) that it is resized to.

    It covers ``source`` (height, width) pixels of the image from ``corner`` (top, left) on; both may be
    fractions and may leave the image. It is then turned about its middle by ``angle`` degrees counterclockwise
    and flipped left to right. The map takes the nearest value; outside it is ignored (void in a map of ids).
    """

    corner: tuple[float, float]
    source: tuple[float, float]
    size: tuple[int, int]
    flip: bool
    fill_value: tuple[float, ...]
    angle: float = 0.0

    def cut(self, sample: Sample) -> Sample:
        """Image and map as the window shows them, without the segments that it does not show."""
        cut = replace(sample, image=self.cut_image(sample.image), map=self.cut_map(sample))
        return without_unseen(cut)

    def cut_image(self, image: NDArray[Any]) -> NDArray[Any]:
        """The image [height, width, C]: bilinear at pixel centers, area average when shrunk below one half.

        Only the source of the pixels that are kept is resized. Where the window begins amid a pixel or is
        turned, ``warp_image`` does it.
        """
        rows, columns = (self._span(axis, image.shape) for axis in (0, 1))
        shown = rows.count > 0 and columns.count > 0
        if self.angle or (shown and not (rows.whole and columns.whole)):
            return self.warp_image(image)
        if shown and (rows.count, columns.count) == self.size:
            cut = _resize(image, rows, columns)
        else:
            part = _resize(image, rows, columns) if shown else image[:0, :0]
            cut = self._padded(part, rows.first, columns.first)
        if self.flip:
            cv2.flip(cut, 1, dst=cut)  # in place: the memory is ours
        return cut

    def _padded(self, part: NDArray[Any], top: int, left: int) -> NDArray[Any]:
        """``part`` at its place among padding."""
        cut = np.empty((*self.size, part.shape[2]), part.dtype)
        bottom, right = top + part.shape[0], left + part.shape[1]
        row = np.tile(_as(np.array(self.fill_value[: part.shape[2]]), part.dtype), (self.size[1], 1))
        cut[:top] = cut[bottom:] = row  # whole rows are copied faster than three values again and again
        cut[top:bottom, :left], cut[top:bottom, right:] = row[:left], row[right:]
        cut[top:bottom, left:right] = part
        return cut

    def _span(self, axis: int, shape: tuple[int, ...]) -> _Span:
        """The output pixels of an axis whose centers lie inside the image."""
        corner, step, side = self.corner[axis], self.source[axis] / self.size[axis], shape[axis]
        first, end = (ceil(min(max(0.0, (at - corner) / step - 0.5), self.size[axis])) for at in (0, side))
        # A quotient may be rounded across a whole number; what counts is where ``centers`` says that they lie.
        while first < end and corner + (first + 0.5) * step < 0:
            first += 1
        while first > 0 and corner + (first - 0.5) * step >= 0:
            first -= 1
        while end > first and corner + (end - 0.5) * step >= side:
            end -= 1
        while end < self.size[axis] and corner + (end + 0.5) * step < side:
            end += 1
        return _Span(first, end - first, corner, step)

    def warp_image(self, image: NDArray[Any]) -> NDArray[Any]:
        """The same as one affine warp, in which pixels across the border of the image mix with the padding."""
        step_y, step_x = (a / b for a, b in zip(self.source, self.size, strict=True))
        if max(step_y, step_x) > 2:  # bilinear would skip pixels
            shrunk = cv2.resize(image, None, fx=1 / step_x, fy=1 / step_y, interpolation=cv2.INTER_AREA)
            shrunk = shrunk.reshape(*shrunk.shape[:2], -1)
            step = (image.shape[0] / shrunk.shape[0], image.shape[1] / shrunk.shape[1])
            corner = (self.corner[0] / step[0], self.corner[1] / step[1])
            return replace(self, corner=corner, source=self.size).warp_image(shrunk)
        flags, size, bands = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, self.size[::-1], image.shape[2]
        together = (
            bands if bands in (1, 3, 4) else 1
        )  # OpenCV's border has four bands; two it blends coarsely
        warped = [
            cv2.warpAffine(
                image[..., k : k + together],
                self._matrix(),
                size,
                flags=flags,
                borderValue=self.fill_value[k : k + together],
            ).reshape(*self.size, -1)
            for k in range(0, bands, together)
        ]
        return warped[0] if len(warped) == 1 else np.concatenate(warped, axis=2)

    def _matrix(self) -> NDArray[np.float64]:
        """Output pixel (x, y) to source (x, y), both counted from the center of the first pixel."""
        (top, left), (tall, wide), (height, width) = self.corner, self.source, self.size
        step_y, step_x = tall / height, wide / width
        sign = -1.0 if self.flip else 1.0
        if not self.angle:
            x = left + (wide if self.flip else 0.0) + sign * 0.5 * step_x - 0.5
            return np.array([[sign * step_x, 0, x], [0, step_y, top + 0.5 * step_y - 0.5]])
        c, s = cos(radians(self.angle)), sin(radians(self.angle))
        turn = np.array([[step_x * c * sign, -step_x * s], [step_y * s * sign, step_y * c]])
        middle = np.array([left + wide / 2 - 0.5, top + tall / 2 - 0.5])
        return np.column_stack([turn, middle - turn @ np.array([width / 2 - 0.5, height / 2 - 0.5])])

    def cut_map(self, sample: Sample) -> NDArray[Any]:
        """The map [height, width]: the value of the source pixel in which each output pixel's center lies."""
        if self.angle:
            return self._turn_map(sample)
        spans = [self._span(axis, sample.map.shape) for axis in (0, 1)]
        rows, columns = (np.floor(span.centers()).astype(np.int64) for span in spans)
        if self.flip:
            columns = columns[::-1]
        if (len(rows), len(columns)) == self.size:
            return _gather(sample.map, rows, columns)
        cut = np.full(self.size, _nothing(sample), dtype=sample.map.dtype)
        if len(rows) and len(columns):
            first, count = spans[1].first, spans[1].count
            x = slice(self.size[1] - first - count, self.size[1] - first) if self.flip else spans[1].inside
            cut[spans[0].inside, x] = _gather(sample.map, rows, columns)
        return cut

    def _turn_map(self, sample: Sample) -> NDArray[Any]:
        matrix, (height, width), shape = self._matrix(), self.size, sample.map.shape
        x, y = np.arange(width), np.arange(height)[:, None]
        rows = np.floor(matrix[1, 0] * x + matrix[1, 1] * y + (matrix[1, 2] + 0.5)).astype(np.int64)
        columns = np.floor(matrix[0, 0] * x + matrix[0, 1] * y + (matrix[0, 2] + 0.5)).astype(np.int64)
        inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        places = np.where(inside, rows * shape[1] + columns, 0)
        return np.where(inside, sample.map.ravel()[places], sample.map.dtype.type(_nothing(sample)))


@dataclass(frozen=True, slots=True)
class _Span:
    """The ``count`` output pixels from ``first`` on, along one axis of a window that begins at ``corner``."""

    first: int
    count: int
    corner: float
    step: float

    @property
    def start(self) -> float:
        """Where in the image the first of them begins."""
        return self.corner + self.first * self.step

    @property
    def whole(self) -> bool:
        """Whether that is the edge of a pixel, so that a resize of the rest is exact."""
        return abs(self.start - round(self.start)) < 1e-6

    @property
    def inside(self) -> slice:
        """Their places in the output."""
        return slice(self.first, self.first + self.count)

    def part(self, side: int) -> slice:
        """The source pixels that they need, and one or two to spare."""
        return slice(round(self.start), min(side, ceil(self.start + self.count * self.step) + 1))

    @property
    def cut_off(self) -> int:
        """How many at the beginning look across ``start`` at a pixel before it."""
        if self.start < 0.5 or self.step >= 1:
            return 0
        return min(self.count, ceil(0.5 / self.step - 0.5))

    def centers(self) -> NDArray[np.float64]:
        """The point of the image that each of them shows; the first pixel of the image is 0 to 1."""
        return np.asarray(self.corner + (np.arange(self.first, self.first + self.count) + 0.5) * self.step)

    def neighbors(self, side: int) -> _Neighbors:
        """The pixels of an axis of ``side`` that each point is blended of; beyond the border stands the border."""
        at = np.minimum(np.maximum(self.centers() - 0.5, 0), side - 1)
        before = at.astype(np.int64)
        return _Neighbors(before, np.minimum(before + 1, side - 1), (at - before).astype(np.float32))


def _resize(image: NDArray[Any], rows: _Span, columns: _Span) -> NDArray[Any]:
    """The pixels of both spans [count, count, C], as if the whole image had been resized."""
    steps = (rows.step, columns.step)
    source = image[rows.part(image.shape[0]), columns.part(image.shape[1])]
    size = tuple(round(side / step) for side, step in zip(source.shape, steps, strict=False))
    # OpenCV copies where the size stays the same, though the factors say otherwise; and sizes are rounded.
    if (size == source.shape[:2] and steps != (1, 1)) or size[0] < rows.count or size[1] < columns.count:
        return _blend(image, rows.neighbors(image.shape[0]), columns.neighbors(image.shape[1]))
    area = max(steps) > 2
    kind = cv2.INTER_AREA if area else cv2.INTER_LINEAR
    # The factors, not the size, which is rounded and would change the step.
    resized = cv2.resize(source, None, fx=1 / columns.step, fy=1 / rows.step, interpolation=kind)
    part = resized.reshape(*resized.shape[:2], image.shape[2])[: rows.count, : columns.count]
    above, left = rows.cut_off, columns.cut_off
    if not area and (above or left):  # the resize saw nothing above and left of its part
        y, x = rows.neighbors(image.shape[0]), columns.neighbors(image.shape[1])
        if above:
            part[:above] = _blend(image, y.first(above), x)
        if left:
            part[:, :left] = _blend(image, y, x.first(left))
    return part


class _Neighbors(NamedTuple):
    """Of each point along an axis: the pixels between whose centers it lies, the weight of the second."""

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    weight: NDArray[np.float32]

    def first(self, count: int) -> _Neighbors:
        return _Neighbors(self.before[:count], self.after[:count], self.weight[:count])


def _blend(image: NDArray[Any], rows: _Neighbors, columns: _Neighbors) -> NDArray[Any]:
    """Bilinear values at all pairs of points, in floating point: one row or column is cheap, an image is not."""
    y, x = int(rows.before[0]), int(columns.before[0])
    piece = image[y : int(rows.after[-1]) + 1, x : int(columns.after[-1]) + 1].astype(np.float32)
    down, across = rows.weight[:, None, None], columns.weight[:, None]
    axes = [(0, rows, y, down), (1, columns, x, across)]
    for axis, at, start, weight in axes if len(rows.before) < len(columns.before) else axes[::-1]:
        before, after = (piece.take(pixels - start, axis=axis) for pixels in (at.before, at.after))
        after -= before
        after *= weight
        piece = before
        piece += after
    return _as(piece, image.dtype)


def _as(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    return (np.rint(values) if np.issubdtype(dtype, np.integer) else values).astype(dtype)


def _gather(values: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[Any]:
    """``values[rows][:, columns]``; rows are copied in one piece each, so columns are made rows for it."""
    first = int(columns.min())
    kept = slice(first, int(columns.max()) + 1)
    if values.dtype not in (np.uint8, np.uint16, np.int16, np.int32):  # what OpenCV transposes
        return values[rows, kept].take(columns - first, axis=1)
    if rows[-1] - rows[0] < len(rows):  # enlarged: rows come last, when there are more of them
        turned = cv2.transpose(values[int(rows[0]) : int(rows[-1]) + 1, kept])
        return np.asarray(cv2.transpose(turned.take(columns - first, axis=0)).take(rows - rows[0], axis=0))
    return np.asarray(cv2.transpose(cv2.transpose(values[rows, kept])[columns - first]))


def _nothing(sample: Sample) -> int:
    """The value of the map where there is no truth."""
    return IGNORED if sample.segments is None else 0


def erase_map(sample: Sample, place: tuple[slice, slice]) -> Sample:
    """The sample without truth at ``place``."""
    erased = sample.map.copy()
    erased[place] = _nothing(sample)
    return without_unseen(replace(sample, map=erased))


def without_unseen(sample: Sample) -> Sample:
    """The sample without the segments that have no pixel in its map."""
    if not sample.segments:
        return sample
    most = max(segment.id for segment in sample.segments)
    if most < 1 << 25 and sample.map.size and sample.map.min() >= 0:
        seen = np.zeros(max(most, int(sample.map.max())) + 1, dtype=bool)
        seen[sample.map] = True
        kept = tuple(segment for segment in sample.segments if seen[segment.id])
    else:
        ids = set(np.unique(sample.map).tolist())
        kept = tuple(segment for segment in sample.segments if segment.id in ids)
    return replace(sample, segments=kept)
