"""The window that scales, rotates, crops and flips an image and its map in one resampling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, cos, radians, sin
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from segwright.data.reading.images import resize_bands
from segwright.samples import Sample


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of an image, and the ``size`` (height, width) to which it is resampled.

    The rectangle starts at ``corner`` (top, left) and covers ``source_size`` (height, width) pixels of the image. Both
    may be fractions, and the rectangle may extend beyond the image. It is rotated about its center by ``angle`` degrees
    counterclockwise, then flipped left to right if ``flip``. Maps are resampled with nearest neighbor. Pixels outside
    the image get ``fill_value`` in the image, and the ignore index (in a map of segment ids: 0, void) in the map.
    """

    corner: tuple[float, float]
    source_size: tuple[float, float]
    size: tuple[int, int]
    flip: bool
    fill_value: tuple[float, ...]
    angle: float = 0.0

    def crop(self, sample: Sample) -> Sample:
        """Image and map inside the window; segments without a pixel in it are dropped."""
        cropped = replace(sample, image=self.crop_image(sample.image), map=self.crop_map(sample))
        return drop_empty_segments(cropped)

    def crop_image(self, image: NDArray[Any]) -> NDArray[Any]:
        """The image [height, width, C]: bilinear at pixel centers, area averaging when shrunk below one half.

        Only the pixels inside the window are resized. A window that is rotated, or that does not start at the edge
        of a pixel, is left to ``warp_image``.
        """
        rows, columns = (self._visible(axis, image.shape) for axis in (0, 1))
        overlaps = rows.count > 0 and columns.count > 0
        if self.angle or (overlaps and not (rows.starts_at_pixel_edge and columns.starts_at_pixel_edge)):
            return self.warp_image(image)
        if overlaps and (rows.count, columns.count) == self.size:
            cropped = _resize(image, rows, columns)
        else:
            part = _resize(image, rows, columns) if overlaps else image[:0, :0]
            cropped = self._pad(part, rows.first, columns.first)
        if self.flip:
            cv2.flip(cropped, 1, dst=cropped)  # in place: the array is a copy
        return cropped

    def _pad(self, part: NDArray[Any], top: int, left: int) -> NDArray[Any]:
        """``part`` at (top, left), surrounded by padding."""
        padded = np.empty((*self.size, part.shape[2]), part.dtype)
        bottom, right = top + part.shape[0], left + part.shape[1]
        fill_value = _cast(np.array(self.fill_value[: part.shape[2]]), part.dtype)
        row = np.tile(
            fill_value, (self.size[1], 1)
        )  # copying a full row is faster than three values at a time
        padded[:top] = padded[bottom:] = row
        padded[top:bottom, :left], padded[top:bottom, right:] = row[:left], row[right:]
        padded[top:bottom, left:right] = part
        return padded

    def _visible(self, axis: int, shape: tuple[int, ...]) -> _OutputRange:
        """The output pixels along an axis whose centers lie inside the image."""
        corner, step, side = self.corner[axis], self.source_size[axis] / self.size[axis], shape[axis]
        first, end = (
            ceil(min(max(0.0, (bound - corner) / step - 0.5), self.size[axis])) for bound in (0, side)
        )
        # The division may round across an integer. The positions that ``centers`` computes decide.
        while first < end and corner + (first + 0.5) * step < 0:
            first += 1
        while first > 0 and corner + (first - 0.5) * step >= 0:
            first -= 1
        while end > first and corner + (end - 0.5) * step >= side:
            end -= 1
        while end < self.size[axis] and corner + (end + 0.5) * step < side:
            end += 1
        return _OutputRange(first, end - first, corner, step)

    def warp_image(self, image: NDArray[Any]) -> NDArray[Any]:
        """The image [height, width, C] as one affine warp; at the border of the image, it blends with the padding."""
        step_y, step_x = (source / output for source, output in zip(self.source_size, self.size, strict=True))
        if max(step_y, step_x) > 2:  # bilinear interpolation would skip pixels
            width, height = round(image.shape[1] / step_x), round(image.shape[0] / step_y)
            # OpenCV refuses a side that rounds to 0; with factors, the step is not rounded.
            size = None if width and height else (max(1, width), max(1, height))
            shrunk = resize_bands(image, size, fx=1 / step_x, fy=1 / step_y, interpolation=cv2.INTER_AREA)
            step = (image.shape[0] / shrunk.shape[0], image.shape[1] / shrunk.shape[1])
            corner = (self.corner[0] / step[0], self.corner[1] / step[1])
            return replace(self, corner=corner, source_size=self.size).warp_image(shrunk)
        flags, output_size, bands = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, self.size[::-1], image.shape[2]
        # OpenCV takes at most four border values, and interpolates two channels with less precision.
        at_once = bands if bands in (1, 3, 4) else 1
        warped = [
            cv2.warpAffine(
                image[..., first : first + at_once],
                self._matrix(),
                output_size,
                flags=flags,
                borderValue=self.fill_value[first : first + at_once],
            ).reshape(*self.size, -1)
            for first in range(0, bands, at_once)
        ]
        return warped[0] if len(warped) == 1 else np.concatenate(warped, axis=2)

    def _matrix(self) -> NDArray[np.float64]:
        """Affine matrix from output pixel (x, y) to source (x, y); the center of the first pixel is (0, 0) in both."""
        (top, left), (source_height, source_width), (height, width) = self.corner, self.source_size, self.size
        step_y, step_x = source_height / height, source_width / width
        sign = -1.0 if self.flip else 1.0
        if not self.angle:
            x = left + (source_width if self.flip else 0.0) + sign * 0.5 * step_x - 0.5
            return np.array([[sign * step_x, 0, x], [0, step_y, top + 0.5 * step_y - 0.5]])
        c, s = cos(radians(self.angle)), sin(radians(self.angle))
        rotation = np.array([[step_x * c * sign, -step_x * s], [step_y * s * sign, step_y * c]])
        center = np.array([left + source_width / 2 - 0.5, top + source_height / 2 - 0.5])
        offset = center - rotation @ np.array([width / 2 - 0.5, height / 2 - 0.5])
        return np.column_stack([rotation, offset])

    def crop_map(self, sample: Sample) -> NDArray[Any]:
        """The map [height, width]: each output pixel gets the value of the source pixel that contains its center."""
        if self.angle:
            return self._rotate_map(sample)
        ranges = [self._visible(axis, sample.map.shape) for axis in (0, 1)]
        rows, columns = (np.floor(visible.centers()).astype(np.int64) for visible in ranges)
        if self.flip:
            columns = columns[::-1]
        if (len(rows), len(columns)) == self.size:
            return _gather(sample.map, rows, columns)
        cropped = np.full(self.size, _ignored_value(sample), dtype=sample.map.dtype)
        if len(rows) and len(columns):
            first, count = ranges[1].first, ranges[1].count
            x = slice(self.size[1] - first - count, self.size[1] - first) if self.flip else ranges[1].output
            cropped[ranges[0].output, x] = _gather(sample.map, rows, columns)
        return cropped

    def _rotate_map(self, sample: Sample) -> NDArray[Any]:
        matrix, (height, width), shape = self._matrix(), self.size, sample.map.shape
        x, y = np.arange(width), np.arange(height)[:, None]
        rows = np.floor(matrix[1, 0] * x + matrix[1, 1] * y + (matrix[1, 2] + 0.5)).astype(np.int64)
        columns = np.floor(matrix[0, 0] * x + matrix[0, 1] * y + (matrix[0, 2] + 0.5)).astype(np.int64)
        inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        indices = np.where(inside, rows * shape[1] + columns, 0)
        return np.where(inside, sample.map.ravel()[indices], sample.map.dtype.type(_ignored_value(sample)))


@dataclass(frozen=True, slots=True)
class _OutputRange:
    """Output pixels ``first`` to ``first + count - 1`` along one axis.

    ``corner`` is the source position at which the window starts, ``step`` the source pixels per output pixel.
    """

    first: int
    count: int
    corner: float
    step: float

    @property
    def start(self) -> float:
        """The source position at which the first output pixel starts."""
        return self.corner + self.first * self.step

    @property
    def starts_at_pixel_edge(self) -> bool:
        """Whether ``start`` is the edge of a source pixel, so that a resize from there on is exact."""
        return abs(self.start - round(self.start)) < 1e-6

    @property
    def output(self) -> slice:
        """The output pixels as a slice."""
        return slice(self.first, self.first + self.count)

    def source(self, side: int) -> slice:
        """The source pixels that the range depends on, and one or two more, in an image of ``side`` pixels."""
        return slice(round(self.start), min(side, ceil(self.start + self.count * self.step) + 1))

    @property
    def depends_on_previous(self) -> int:
        """How many output pixels at the beginning are interpolated from the source pixel before ``start``, too."""
        if self.start < 0.5 or self.step >= 1:
            return 0
        return min(self.count, ceil(0.5 / self.step - 0.5))

    def centers(self) -> NDArray[np.float64]:
        """The source position of each output pixel's center; the first source pixel covers 0 to 1."""
        return np.asarray(self.corner + (np.arange(self.first, self.first + self.count) + 0.5) * self.step)

    def neighbors(self, side: int) -> _Neighbors:
        """The two source pixels that each output pixel is interpolated from; the border pixel repeats outside."""
        positions = np.minimum(np.maximum(self.centers() - 0.5, 0), side - 1)
        before = positions.astype(np.int64)
        return _Neighbors(before, np.minimum(before + 1, side - 1), (positions - before).astype(np.float32))


def _resize(image: NDArray[Any], rows: _OutputRange, columns: _OutputRange) -> NDArray[Any]:
    """The pixels of both ranges [rows, columns, C], equal to those of a resize of the entire image."""
    steps = (rows.step, columns.step)
    source = image[rows.source(image.shape[0]), columns.source(image.shape[1])]
    size = tuple(round(side / step) for side, step in zip(source.shape, steps, strict=False))
    # OpenCV copies an image whose rounded size does not change, whatever the factors are.
    if (size == source.shape[:2] and steps != (1, 1)) or size[0] < rows.count or size[1] < columns.count:
        return _interpolate(image, rows.neighbors(image.shape[0]), columns.neighbors(image.shape[1]))
    average = max(steps) > 2
    interpolation = cv2.INTER_AREA if average else cv2.INTER_LINEAR
    # With factors instead of a size, which is rounded and would change the step.
    resized = resize_bands(source, None, fx=1 / columns.step, fy=1 / rows.step, interpolation=interpolation)
    part = resized[: rows.count, : columns.count]
    top, left = rows.depends_on_previous, columns.depends_on_previous
    if not average and (top or left):  # ``source`` lacks the pixels above and to the left
        y, x = rows.neighbors(image.shape[0]), columns.neighbors(image.shape[1])
        if top:
            part[:top] = _interpolate(image, y.head(top), x)
        if left:
            part[:, :left] = _interpolate(image, y, x.head(left))
    return part


class _Neighbors(NamedTuple):
    """For each point along an axis: the pixels before and after it, and the weight of the one after."""

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    weight: NDArray[np.float32]

    def head(self, count: int) -> _Neighbors:
        return _Neighbors(self.before[:count], self.after[:count], self.weight[:count])


def _interpolate(image: NDArray[Any], rows: _Neighbors, columns: _Neighbors) -> NDArray[Any]:
    """Bilinear values at all pairs of points, in floating point: fast enough for a few rows or columns only."""
    y, x = int(rows.before[0]), int(columns.before[0])
    values = image[y : int(rows.after[-1]) + 1, x : int(columns.after[-1]) + 1].astype(np.float32)
    row_weight, column_weight = rows.weight[:, None, None], columns.weight[:, None]
    axes = [(0, rows, y, row_weight), (1, columns, x, column_weight)]
    for axis, points, start, weight in axes if len(rows.before) < len(columns.before) else axes[::-1]:
        before, after = (values.take(pixels - start, axis=axis) for pixels in (points.before, points.after))
        after -= before
        after *= weight
        values = before
        values += after
    return _cast(values, image.dtype)


def _cast(values: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    return (np.rint(values) if np.issubdtype(dtype, np.integer) else values).astype(dtype)


def _gather(values: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[Any]:
    """``values[rows][:, columns]``. Picking rows is fast, so the map is transposed to pick its columns as rows."""
    first = int(columns.min())
    kept = slice(first, int(columns.max()) + 1)
    if values.dtype not in (np.uint8, np.uint16, np.int16, np.int32):  # the types that OpenCV transposes
        return values[rows, kept].take(columns - first, axis=1)
    if rows[-1] - rows[0] < len(rows):  # upsampling: rows last, when there are more of them
        transposed = cv2.transpose(values[int(rows[0]) : int(rows[-1]) + 1, kept])
        picked = cv2.transpose(transposed.take(columns - first, axis=0))
        return np.asarray(picked.take(rows - rows[0], axis=0))
    return np.asarray(cv2.transpose(cv2.transpose(values[rows, kept])[columns - first]))


def _ignored_value(sample: Sample) -> int:
    """The value of ignored pixels in the sample's map."""
    return sample.ignore_index if sample.segments is None else 0


def ignore_region(sample: Sample, region: tuple[slice, slice]) -> Sample:
    """The sample with the pixels of ``region`` (rows, columns) ignored in its map."""
    values = sample.map.copy()
    values[region] = _ignored_value(sample)
    return drop_empty_segments(replace(sample, map=values))


def drop_empty_segments(sample: Sample) -> Sample:
    """The sample without those of its segments that have no pixel in its map."""
    if not sample.segments:
        return sample
    largest = max(segment.id for segment in sample.segments)
    if largest < 1 << 25 and sample.map.size and sample.map.min() >= 0:
        present = np.zeros(max(largest, int(sample.map.max())) + 1, dtype=bool)
        present[sample.map] = True
        kept = tuple(segment for segment in sample.segments if present[segment.id])
    else:
        ids = set(np.unique(sample.map).tolist())
        kept = tuple(segment for segment in sample.segments if segment.id in ids)
    return replace(sample, segments=kept)
