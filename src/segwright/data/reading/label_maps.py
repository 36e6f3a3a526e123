"""Reading and writing label maps: one value per pixel, stored as PNG, TIFF or .npy."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from segwright.data.reading.images import (
    apply_orientation,
    exif_orientation,
    open_with_pillow,
    read_npy,
    read_unchanged,
)
from segwright.data.reading.limits import refuse_decompression_bomb
from segwright.data.reading.png_decoder import decode_png, is_png
from segwright.data.reading.png_encoder import encode_png
from segwright.data.reading.tiff import is_tiff, read_tiff
from segwright.errors import UserError, first_line

Channels = Literal["index", "rgb", "rgba"]
_EXPECTED: dict[Channels, str] = {
    "index": "one channel of class values (an index or palette PNG)",
    "rgb": "three channels (an RGB PNG)",
    "rgba": "four channels (an RGBA PNG)",
}
_MAX_VALUE = 2**31 - 2  # segment ids are int32, and some are the value plus one


class ChannelsError(UserError):
    """A map with another number of channels than expected; ``count``: how many it has."""

    def __init__(self, text: str, count: int = 0) -> None:
        super().__init__(text)
        self.count = count


def read_map(path: Path, channels: Channels = "index") -> NDArray[Any]:
    """The raw values of a label map, with the orientation of its EXIF or TIFF tag applied.

    "index": [H, W] of a grayscale, palette (the palette indices), 16-bit or other integer file: uint8, uint16, or int32
    for any other type. Floats are read if all of them are whole numbers, as GIS tools write them. "rgb" and "rgba":
    uint8 [H, W, 3 or 4]. Of JPEG files only binary masks are read, as 0 and 255: compression changes all other values.
    ``ChannelsError`` for a file with another number of channels, ``UserError`` for an unreadable one.
    """
    raw = _read_npy(path) if path.suffix.lower() == ".npy" else _read(path)
    if raw.ndim == 3 and raw.shape[2] == 1:
        raw = raw[..., 0]
    count = 1 if raw.ndim == 2 else raw.shape[2]
    if channels == "rgb" and count == 4:
        raw, count = raw[..., :3], 3  # some tools add an opaque alpha channel
    if count != {"index": 1, "rgb": 3, "rgba": 4}[channels]:
        remedy = (
            "the map contains colors: convert it to class values with 'segwright data convert rgb'"
            if channels == "index"
            else "check which kind of map this dataset expects"
        )
        raise ChannelsError(f"{path}: {count} channels; expected {_EXPECTED[channels]}; {remedy}", count)
    raw = _whole_numbers(raw, path)
    if channels != "index" and raw.dtype != np.uint8:
        raise UserError(f"{path}: colors of {raw.dtype}; expected 8 bits per channel; convert the map")
    return raw


def read_class_values(path: Path, coding: Literal["index", "rgb"] = "index") -> NDArray[Any]:
    """The values [H, W] of a map of classes; with ``coding`` "rgb" its colors as 65536 R + 256 G + B.

    As ``read_map``, but class values may also be stored as three equal channels, and colors as a palette or, of black
    and white only, as grays.
    """
    if coding == "rgb":
        return pack_rgb(_colors(path))
    try:
        return read_map(path)
    except ChannelsError as error:
        if error.count != 3:
            raise
        colors = read_map(path, "rgb")
        if (colors != colors[..., :1]).any():
            raise
        return np.ascontiguousarray(colors[..., 0])


def read_values(path: Path) -> tuple[NDArray[Any], bool]:
    """(the values [H, W] of an index map, False), or (65536 R + 256 G + B of a color-coded map, True)."""
    try:
        return read_map(path), False
    except ChannelsError:
        return pack_rgb(read_map(path, "rgb")), True


def _colors(path: Path) -> NDArray[np.uint8]:
    with suppress(OSError), path.open("rb") as file:
        start = file.read(32)
        if is_png(start) and start[25:26] == b"\3":  # a palette
            indices = read_map(path)
            with open_with_pillow(path) as image:
                palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
            return np.take(palette, indices, axis=0, mode="clip")
    try:
        return read_map(path, "rgb")
    except ChannelsError as error:
        if error.count != 1:
            raise
        gray = read_map(path)
        if not np.isin(gray, (0, 255)).all():
            raise
        return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)


def _read(path: Path) -> NDArray[Any]:
    try:
        if not path.stat().st_size:
            raise UserError(
                f"{path}: an empty file (0 bytes); expected a label map; copy it again, or remove it and its image"
            )
        with path.open("rb") as file:
            start = file.read(32)
        if is_tiff(start):
            return _read_tiff(path)
        if is_png(start) and (plain := decode_png(path.read_bytes())) is not None:
            return plain
        if start[12:16] == b"IHDR" and len(start) > 25 and start[24] == 16 and start[25] != 0:
            return _read_deep_png(path, has_gray=start[25] == 4)
        raw = _read_with_pillow(path)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, UserError):
            raise
        reason = first_line(error)
        reason = "truncated or damaged" if "cannot identify" in reason else reason
        reason = getattr(error, "strerror", None) or reason
        raise UserError(
            f"{path}: not a map that can be read ({reason}); copy it again or replace it"
        ) from None
    if raw.ndim == 3 and raw.shape[2] == 2:  # gray with alpha
        return raw[..., 0]
    return raw


def _read_with_pillow(path: Path) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about large images and damaged EXIF data
        with open_with_pillow(path) as image:
            refuse_decompression_bomb(path, *image.size)
            if image.format == "JPEG":
                raw = _binary_of_jpeg(np.array(image.convert("L")), path)
            elif image.format == "GIF":
                raw = _values_of_gif(np.array(image.convert("RGB")))
            else:
                raw = np.array(image)
            return apply_orientation(raw, exif_orientation(image, path))


def _read_deep_png(path: Path, *, has_gray: bool) -> NDArray[Any]:
    """A PNG of 16 bits with several channels, of which Pillow drops the lower 8 bits."""
    raw = read_unchanged(path)
    return raw[..., 0] if has_gray else raw  # OpenCV turns gray with alpha into four channels


def _read_tiff(path: Path) -> NDArray[Any]:
    tiff = read_tiff(path)
    values = tiff.values
    if tiff.lossy:
        raise _lossy(path, "JPEG in TIFF")
    if tiff.pages > 1:
        raise UserError(
            f"{path}: {tiff.pages} pages; expected one map of class values; save the classes as one page"
        )
    if tiff.bits == 1 and tiff.photometric == "miniswhite":  # white, the foreground of a mask, is stored as 0
        values = values == 0
    if values.shape[2] == 2 and tiff.has_alpha:
        values = values[..., :1]
    return apply_orientation(values, tiff.orientation)


def _values_of_gif(colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The gray values [H, W] of a GIF, or its colors [H, W, 3]: programs that write GIF renumber its palette."""
    is_gray = (colors == colors[..., :1]).all()
    return colors[..., 0] if is_gray else colors


def _binary_of_jpeg(gray: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    """The 0/255 mask that a gray JPEG [H, W] shows: JPEG blurs its edges, and nothing else.

    ``UserError`` if a region far from edges has any other value: then the file holds classes, which JPEG changes.
    """
    # JPEG compresses blocks of 8x8 pixels: an edge changes 8 pixels on both sides.
    window = np.ones((17, 17), np.uint8)
    is_flat = cv2.dilate(gray, window).astype(np.int16) - cv2.erode(gray, window) < 32
    is_extreme = (gray <= 4) | (gray >= 251)
    if (is_flat & ~is_extreme).any() or (not is_flat.any() and not is_extreme.all()) or 0 < gray.max() < 128:
        raise _lossy(path, "JPEG")
    return np.where(gray < 128, 0, 255).astype(np.uint8)


def _lossy(path: Path, kind: str) -> UserError:
    return UserError(
        f"{path}: a map stored as {kind}, which changes its values; expected PNG (as JPEG only binary masks can be "
        "read); export it again"
    )


def _whole_numbers(raw: NDArray[Any], path: Path) -> NDArray[Any]:
    """The values as uint8, uint16 or int32; ``UserError`` names the type where that would change them."""
    if raw.dtype == bool:
        return raw.astype(np.uint8)
    if raw.dtype in (np.uint8, np.uint16):
        return raw.astype(raw.dtype.newbyteorder("="), copy=False)
    if raw.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            fractions = raw[~(np.isfinite(raw) & (raw == np.rint(raw)))]
        if fractions.size:
            raise UserError(
                f"{path}: values are {raw.dtype}, such as {fractions.flat[0]:g}; expected whole numbers, one value per "
                "class; save it as an 8- or 16-bit PNG"
            )
    elif raw.dtype.kind not in "iu":
        raise UserError(f"{path}: values are {raw.dtype}; expected integers; save it as an 8- or 16-bit PNG")
    low, high = (raw.min().item(), raw.max().item()) if raw.size else (0, 0)
    if low < -_MAX_VALUE or high > _MAX_VALUE:
        raise UserError(
            f"{path}: values are {raw.dtype} from {low:g} to {high:g}; expected at most {_MAX_VALUE}; renumber them"
        )
    return raw.astype(np.int32)


def _read_npy(path: Path) -> NDArray[Any]:
    raw = read_npy(path)
    if raw.dtype.kind not in "uifb" or raw.ndim not in (2, 3):
        raise UserError(
            f"{path}: {raw.dtype} {raw.shape}; expected integers [height, width]; save the class values alone"
        )
    return raw


def pack_rgb(colors: NDArray[np.uint8]) -> NDArray[np.int32]:
    """One integer per color: 65536 R + 256 G + B, int32 [...], of an RGB array uint8 [..., 3]."""
    red, green, blue = (colors[..., c].astype(np.int32) for c in range(3))
    return np.asarray(red << 16 | green << 8 | blue, dtype=np.int32)


def unpack_rgb(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The RGB array, uint8 [..., 3], of integers [...] made by ``pack_rgb``."""
    return np.stack([values >> 16 & 255, values >> 8 & 255, values & 255], axis=-1).astype(np.uint8)


def unique_values(ids: NDArray[Any]) -> NDArray[np.int64]:
    """The distinct values of an integer array, sorted, as ``numpy.unique`` gives them, but five times faster.

    It marks the values in a table instead of sorting the pixels. Arrays with values below 0 or from 2^25 on are
    sorted all the same.
    """
    if not ids.size:
        return np.zeros(0, np.int64)
    largest = int(ids.max())
    if largest >= 1 << 25 or int(ids.min()) < 0:
        return np.unique(ids).astype(np.int64)
    occurs = np.zeros(largest + 1, dtype=bool)
    occurs[ids.ravel()] = True
    return np.flatnonzero(occurs)


def write_png(path: Path, array: NDArray[Any], palette: NDArray[np.uint8] | None = None) -> None:
    """Write a map uint8 or uint16 [H, W], or an RGB image uint8 [H, W, 3], as PNG; missing folders are created.

    With ``palette``, uint8 [K, 3], the map contains indices of its colors, and the file is an image in these colors.
    The file appears complete or not at all.
    """
    data = encode_png(array, palette)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
