"""The outlines and masks that annotation tools write, as COCO run lengths.

A shape is JSON: COCO polygons [[x, y, ...], ...] or run lengths {"size", "counts"}, or one of
{"polygons": [...], "holes": [...]}: polygons in pixels, without the holes;
{"fractions": [...]}: polygons in fractions of width and height, with "holes" likewise;
{"png": text, "corner": [row, column]}: a mask as a base64 PNG, a part of the image;
{"runs": [...], "box": [left, top, width, height]}: runs of 0 and 1 in turn along the rows of a box;
{"starts": [start, length, ...]}: runs of 1 down the columns, starts from 1; with "order": "rows" along the rows;
{"brush": [...]}: run lengths of Label Studio; {"files": [...]}: mask images, 0 outside;
{"nested": [...]}: polygons of which each lies beside the others, or is a hole or an island in another;
{"colors": [n, ...], "map": path}: the pixels of a color map whose color 65536 R + 256 G + B is one of the numbers;
{"parts": [...]}: shapes that are one object.
"""

from __future__ import annotations

import base64
import binascii
import io
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from math import ceil, cos, pi, sin
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segwright.data.reading.images import open_with_pillow
from segwright.data.reading.label_maps import pack_rgb, read_map, read_values
from segwright.data.reading.limits import MAX_PIXELS
from segwright.data.reading.rle import RLE, annotation_to_rle, decode_mask, encode_crop
from segwright.errors import UserError

Size = tuple[int, int]
_DAMAGE = (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, OSError, zlib.error,
           binascii.Error, SyntaxError)  # fmt: skip


def shape_to_rle(shape: Any, size: Size, where: str) -> RLE:
    """The run lengths of a shape in an image of ``size`` (height, width).

    ``where``: file and object, for the ``UserError`` of a damaged shape, or one that lies wholly outside of the image.
    """
    try:
        return _to_rle(shape, size)
    except OutsideError as error:
        raise OutsideError(f"{where}: {error}") from None
    except UserError:
        raise
    except StopIteration:
        raise UserError(f"{where}: has no outline that can be read; draw it again, or remove it") from None
    except _DAMAGE as error:
        raise UserError(
            f"{where}: its outline cannot be read ({error}); expected polygons of at least three points, or a mask; "
            "draw it again, or remove it"
        ) from None


def _to_rle(shape: Any, size: Size) -> RLE:
    if isinstance(shape, dict) and "counts" not in shape:
        kind = next(name for name in _READERS if name in shape)
        return _READERS[kind](shape, size)
    if isinstance(shape, list):
        return _coco_polygons_to_rle(shape, size)
    return annotation_to_rle(shape, size)


class OutsideError(UserError):
    """An object that lies wholly outside of its image."""


def _outside(size: Size, x: float, y: float) -> OutsideError:
    return OutsideError(
        f"lies outside of the image of {size[1]}x{size[0]} pixels (at x {x:g}, y {y:g}); expected coordinates inside; "
        "correct it, or check that it belongs to this image"
    )


def _polygons_to_rle(shape: dict[str, Any], size: Size) -> RLE:
    polygons = [[float(v) for v in polygon] for polygon in shape["polygons"]]
    outlines = [polygon for polygon in polygons if len(polygon) >= 6]
    if polygons and not outlines:
        raise ValueError(f"a polygon of {len(polygons[0]) // 2} points")
    _require_inside(outlines, size)
    mask = _draw(outlines, size)
    if holes := [hole for hole in shape.get("holes", ()) if len(hole) >= 6]:
        mask &= ~_draw(holes, size)
    return encode_crop(mask, (0, 0), size)


def _coco_polygons_to_rle(polygons: Sequence[Any], size: Size) -> RLE:
    """Polygons as pycocotools fills them; those of other tools are filled with their outline, as labelme does."""
    rle = annotation_to_rle(polygons, size)
    _require_inside([polygon for polygon in polygons if len(polygon) >= 6], size)
    return rle


def _require_inside(outlines: Sequence[Sequence[float]], size: Size) -> None:
    corners = [np.asarray(polygon, dtype=np.float64).reshape(-1, 2) for polygon in outlines]
    limit = 100 + 10 * max(size)
    if not all(np.isfinite(points).all() and (np.abs(points) <= limit).all() for points in corners):
        raise ValueError(f"a point is not finite, or far outside of {size[1]}x{size[0]} pixels")
    if corners and all(is_outside(points, size) for points in corners):
        raise _outside(size, *corners[0].min(axis=0))


def _draw(polygons: Sequence[Sequence[float]], size: Size) -> NDArray[np.bool_]:
    canvas = Image.new("1", (size[1], size[0]))
    for polygon in polygons:
        points = [(float(x), float(y)) for x, y in zip(polygon[::2], polygon[1::2], strict=True)]
        ImageDraw.Draw(canvas).polygon(points, fill=1, outline=1)
    return np.array(canvas, dtype=bool)


def is_outside(points: NDArray[Any], size: Size) -> bool:
    """Whether no part of the box around points (x, y) lies in an image of ``size`` (height, width)."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return bool(right < 0 or bottom < 0 or left >= size[1] or top >= size[0])


def _fractions_to_rle(shape: dict[str, Any], size: Size) -> RLE:
    factors = (size[1], size[0])

    def pixels(polygons: Sequence[Sequence[float]]) -> list[list[float]]:
        return [[round(value * factors[i % 2], 3) for i, value in enumerate(polygon)] for polygon in polygons]

    return _polygons_to_rle(
        {"polygons": pixels(shape["fractions"]), "holes": pixels(shape.get("holes", ()))}, size
    )


def _png_to_rle(shape: dict[str, Any], size: Size) -> RLE:
    mask = decode_png_text(shape["png"])
    row, column = (round(float(value)) for value in shape.get("corner", (0, 0)))
    return _crop_to_rle(mask, (row, column), size)


def _crop_to_rle(mask: NDArray[Any], corner: tuple[int, int], size: Size) -> RLE:
    """A mask that is a part of the image; what lies beyond the image is cut off."""
    row, column = corner
    if row >= size[0] or column >= size[1] or row + mask.shape[0] <= 0 or column + mask.shape[1] <= 0:
        raise _outside(size, column, row)
    mask = mask[max(0, -row) : size[0] - row, max(0, -column) : size[1] - column]
    return encode_crop(mask, (max(0, row), max(0, column)), size)


def decode_png_text(text: str) -> NDArray[np.bool_]:
    """The mask, bool [h, w], of a base64 PNG, also compressed with zlib: its alpha if it has one, else not 0."""
    data = base64.b64decode(text.rpartition(",")[2], validate=False)
    if not data.startswith(b"\x89PNG"):
        data = zlib.decompressobj().decompress(data, MAX_PIXELS)  # more would be no mask
    with open_with_pillow(io.BytesIO(data)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"a mask of {image.width}x{image.height} pixels; at most {MAX_PIXELS:,} in all")
        if image.mode == "P":
            # A palette of transparent black and a color, or of two colors.
            has_alpha = "transparency" in image.info
            return np.asarray(
                (np.asarray(image.convert("RGBA"))[..., 3] if has_alpha else np.asarray(image)) > 0
            )
        values = np.asarray(image)
    if values.ndim == 3:
        values = values[..., -1] if values.shape[2] in (2, 4) else values.max(axis=2)
    return np.asarray(values > 0)


def _box_runs_to_rle(shape: dict[str, Any], size: Size) -> RLE:
    left, top, width, height = (int(value) for value in shape["box"])
    runs = np.asarray(shape["runs"], dtype=np.int64)
    if width < 1 or height < 1 or (runs < 0).any() or int(runs.sum()) > width * height:
        raise ValueError(f"runs of {int(runs.sum())} pixels in a box of {width}x{height}")
    flat = np.zeros(width * height, dtype=bool)
    filled = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    flat[: len(filled)] = filled
    return _crop_to_rle(flat.reshape(height, width), (top, left), size)


def _starts_to_rle(shape: dict[str, Any], size: Size) -> RLE:
    pairs = np.asarray(shape["starts"], dtype=np.int64)
    if len(pairs) % 2:
        raise ValueError("an odd number of run lengths; expected pairs of start and length")
    starts, lengths = pairs[::2] - 1, pairs[1::2]
    count = size[0] * size[1]
    if len(starts) and ((starts < 0).any() or (lengths < 1).any() or int((starts + lengths).max()) > count):
        raise ValueError(f"a run beyond the {size[1]}x{size[0]} pixels of the image")
    changes = np.zeros(count + 1, dtype=np.int32)
    np.add.at(changes, starts, 1)
    np.add.at(changes, starts + lengths, -1)
    flat = changes[:-1].cumsum() > 0
    mask = flat.reshape(size) if shape.get("order") == "rows" else flat.reshape(size[1], size[0]).T
    return encode_crop(mask, (0, 0), size)


def _brush_to_rle(shape: dict[str, Any], size: Size) -> RLE:
    values = decode_brush(shape["brush"])
    if values.size != 4 * size[0] * size[1]:
        raise ValueError(f"a brush of {values.size // 4} pixels, the image has {size[1]}x{size[0]}")
    return encode_crop(values.reshape(*size, 4)[..., 3] > 0, (0, 0), size)


def decode_brush(data: Sequence[int]) -> NDArray[np.uint8]:
    """The bytes that Label Studio packs into bits (RGBA pixels in row-major order): runs and plain values.

    A stream of bits: the number of values (32), the bits of a value minus one (5), four lengths of run counters minus
    one (4 each); then blocks of a flag (1 = a run), the index of a counter (2), the counter (values minus one), and
    the value of the run, or each value.
    """
    bits = np.unpackbits(np.asarray(data, dtype=np.uint8))
    text = (bits + 48).tobytes().decode()  # digits 0 and 1: int(text, 2) reads a number
    position = 0

    def read(count: int) -> int:
        nonlocal position
        position += count
        if position > len(text):
            raise ValueError("a brush that ends too early")
        return int(text[position - count : position], 2)

    total, word = read(32), read(5) + 1
    counters = [read(4) + 1 for _ in range(4)]
    if total > 4 * 2**28:
        raise ValueError(f"a brush of {total} values")
    values = np.zeros(total, dtype=np.uint8)
    index = 0
    while index < total:
        is_run = read(1)
        end = index + 1 + read(counters[read(2)])
        if is_run:
            values[index:end] = read(word)
        else:
            words = text[position : position + word * (end - index)]
            if len(words) < word * (end - index):
                raise ValueError("a brush that ends too early")
            position += len(words)
            digits = np.frombuffer(words.encode(), dtype=np.uint8).reshape(-1, word) - 48
            plain = (digits.astype(np.int64) << np.arange(word)[::-1]).sum(axis=1)
            values[index:end] = plain[: total - index]
        index = end
    return values


def _files_to_rle(shape: dict[str, Any], size: Size) -> RLE:
    mask = np.zeros(size, dtype=bool)
    for name in shape["files"]:
        part = read_mask(Path(name))
        if part.shape != size:
            raise UserError(
                f"{name}: the mask is {part.shape[1]}x{part.shape[0]}, its image is {size[1]}x{size[0]}; expected "
                "equal width and height; export one of them again"
            )
        mask |= part
    return encode_crop(mask, (0, 0), size)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """The mask of an image file, bool [H, W]: where any of its color channels is not 0."""
    values, _ = read_values(path)
    return np.asarray(values != 0)


def _nested_to_rle(shape: dict[str, Any], size: Size) -> RLE:
    outlines = [[float(v) for v in polygon] for polygon in shape["nested"] if len(polygon) >= 6]
    if not outlines:
        raise ValueError("a polygon of fewer than 3 points")
    _require_inside(outlines, size)
    corners = [np.asarray(polygon, dtype=np.float32).reshape(-1, 1, 2) for polygon in outlines]
    areas = [cv2.contourArea(points) for points in corners]
    order = sorted(range(len(outlines)), key=lambda i: -areas[i])  # what contains a polygon comes before it
    mask = np.zeros(size, dtype=bool)
    for position, i in enumerate(order):
        x, y = corners[i][0, 0].tolist()
        depth = sum(cv2.pointPolygonTest(corners[j], (x, y), False) > 0 for j in order[:position])
        drawn = _draw([outlines[i]], size)
        mask = mask & ~drawn if depth % 2 else mask | drawn
    return encode_crop(mask, (0, 0), size)


def _colors_to_rle(shape: dict[str, Any], size: Size) -> RLE:
    path = Path(shape["map"])
    colors = _read_colors(path, path.stat().st_mtime_ns)
    if colors.shape != size:
        height, width = colors.shape
        raise UserError(
            f"{path}: is {width}x{height}, its image {size[1]}x{size[0]}; expected equal sizes; export the map again"
        )
    return encode_crop(np.isin(colors, shape["colors"]), (0, 0), size)


@lru_cache(maxsize=4)  # all objects of an image share a map
def _read_colors(path: Path, changed: int) -> NDArray[np.int32]:
    return pack_rgb(read_map(path, "rgb"))


def _parts_to_rle(shape: dict[str, Any], size: Size) -> RLE:
    """All parts that lie in the image; one that lies outside of it is an error only if all do."""
    mask, outside = np.zeros(size, dtype=bool), list[OutsideError]()
    for part in shape["parts"]:
        try:
            mask |= decode_mask(_to_rle(part, size))
        except OutsideError as error:
            outside.append(error)
    if len(outside) == len(shape["parts"]):
        raise outside[0]
    return encode_crop(mask, (0, 0), size)


_READERS: dict[str, Callable[[dict[str, Any], Size], RLE]] = {
    "polygons": _polygons_to_rle,
    "fractions": _fractions_to_rle,
    "png": _png_to_rle,
    "runs": _box_runs_to_rle,
    "starts": _starts_to_rle,
    "brush": _brush_to_rle,
    "files": _files_to_rle,
    "nested": _nested_to_rle,
    "colors": _colors_to_rle,
    "parts": _parts_to_rle,
}


def flat(points: Iterable[Sequence[Any]]) -> list[float]:
    """[x, y, x, y, ...] of points (x, y)."""
    return [float(value) for x, y in points for value in (x, y)]


def pairs(values: Sequence[Any]) -> list[tuple[Any, Any]]:
    """(first, second), (third, fourth), ... of a sequence; ``ValueError`` if the last one is alone."""
    if len(values) % 2:
        raise ValueError(f"{len(values)} numbers; expected pairs")
    return list(zip(values[::2], values[1::2], strict=True))


def polygon(points: Iterable[Sequence[Any]]) -> list[float]:
    """The polygon [x, y, ...] of points (x, y); ``ValueError`` if these are fewer than three."""
    values = flat(points)
    if len(values) < 6:
        raise ValueError(f"a polygon of {len(values) // 2} points")
    return values


def ellipse(center: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0) -> list[float]:
    """The polygon [x, y, ...] of an ellipse, at most a tenth of a pixel inside of it."""
    count = max(16, ceil(7.1 * max(*radii, 1.0) ** 0.5))
    turn = degrees * pi / 180
    points: list[float] = []
    for i in range(count):
        angle = 2 * pi * i / count
        x, y = radii[0] * cos(angle), radii[1] * sin(angle)
        points += [center[0] + x * cos(turn) - y * sin(turn), center[1] + x * sin(turn) + y * cos(turn)]
    return points


def box(points: Iterable[Sequence[Any]]) -> list[float]:
    """The polygon [x, y, ...] of the smallest upright rectangle around points (x, y)."""
    xs, ys = zip(*((float(x), float(y)) for x, y in points), strict=True)
    left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
    return [left, top, right, top, right, bottom, left, bottom]
