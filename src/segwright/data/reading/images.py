"""Reading photographs and multi-band images as arrays."""

from __future__ import annotations

import io
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from segwright.data.reading.bands import SET_BANDS, UnexpectedBands
from segwright.data.reading.limits import MAX_PIXELS, refuse_decompression_bomb
from segwright.data.reading.tiff import TiffImage, is_tiff, read_tiff, tiff_orientation, tiff_size
from segwright.errors import UserError
from segwright.wording import count_of

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_RADIANCE = (b"#?RADIANCE", b"#?RGBE")
_ORIENTATION_TAG = 0x0112  # of EXIF
_pillow_limit = threading.Lock()
_UNREADABLE = (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError)


def read_image(path: Path, *, reduce: int = 1, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """An RGB image, uint8 [H, W, 3], with the orientation of its EXIF or TIFF tag applied.

    Gray becomes RGB, an alpha channel is left out, palette and CMYK images are converted. ``reduce`` 2, 4 or 8 reads
    the image at 1/2, 1/4 or 1/8 of its size; a JPEG is decoded directly at that size. ``UserError`` for a file that is
    no image, truncated, or larger than ``max_pixels``, and for an image of another depth or with other bands, which
    ``read_bands`` reads.
    """
    if path.suffix.lower() == ".npy":
        return _reduced(_rgb_of_array(read_npy(path), path), reduce)
    data = _read_bytes(path)
    start = data[:32].tobytes()
    if is_tiff(start):
        tiff = read_tiff(path, max_pixels=max_pixels)
        return _reduced(apply_orientation(rgb_of_tiff(tiff, path), tiff.orientation), reduce)
    return decode_image(data, path, reduce=reduce, max_pixels=max_pixels)


def decode_image(
    data: NDArray[np.uint8], path: Path, *, reduce: int = 1, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """The RGB image, uint8 [H, W, 3], in the bytes of a JPEG, PNG or other image file, as ``read_image`` gives it.

    ``path`` is the file that errors name; it is not read. TIFF and .npy cannot be read from bytes.
    """
    start = data[:32].tobytes()
    _refuse_other_depth(start, path)
    is_jpeg = start.startswith(_JPEG)
    image: NDArray[np.uint8] = _decode(data, _REDUCED[reduce if is_jpeg else 1], path, max_pixels)
    cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    return image if is_jpeg else _reduced(image, reduce)


def read_bands(path: Path, bands: int, *, max_pixels: int = MAX_PIXELS) -> NDArray[Any]:
    """An image with any number of bands, upright, [H, W, bands], with its values as stored.

    uint8, uint16 or float32; signed, 32-bit and 64-bit values become float32 if it holds them exactly. Reads .npy
    ([H, W, C] or [H, W]), TIFF in every layout (see ``read_tiff``) and every format of OpenCV. The bands keep the order
    of the file. ``UserError`` for another number of bands, another type, NaN or infinity.
    """
    return band_values(read_unchanged(path, max_pixels=max_pixels), bands, path)


def band_values(image: NDArray[Any], bands: int, path: Path) -> NDArray[Any]:
    """Values as stored in the types of ``read_bands``; ``UserError`` for another number of bands than ``bands``."""
    if image.ndim != 3 or image.shape[2] != bands:
        raise UnexpectedBands(
            f"{path}: shape {image.shape}; expected [height, width, {bands}]{SET_BANDS} to the number of bands"
        )
    return np.ascontiguousarray(_as_network_type(image, path))


def read_unchanged(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[Any]:
    """The values of an image file, .npy or TIFF, upright, [H, W, channels], in the type of the file."""
    if path.suffix.lower() == ".npy":
        image = read_npy(path)
    else:
        data = _read_bytes(path)
        if is_tiff(data[:4].tobytes()):
            tiff = read_tiff(path, max_pixels=max_pixels)
            image = apply_orientation(tiff.values, tiff.orientation)
        else:
            image = _decode(data, cv2.IMREAD_UNCHANGED, path, max_pixels)
            if image.ndim == 3 and image.shape[2] >= 3:
                image = image[..., [2, 1, 0, *range(3, image.shape[2])]]
            image = apply_orientation(image, orientation(path))
    return image[..., None] if image.ndim == 2 else image


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of the upright image, read from the header of the file."""
    if path.suffix.lower() == ".npy":
        shape = read_npy(path, memory_map=True).shape
        if len(shape) not in (2, 3):
            raise UserError(
                f"{path}: shape {shape}; expected [height, width, bands]; save one image per file"
            )
        return int(shape[0]), int(shape[1])
    if is_tiff(_read_start(path)):
        return tiff_size(path)
    try:
        with _opened_header(path) as image:
            width, height = image.size
            rotation = exif_orientation(image, path)
    except _UNREADABLE:
        if (size := _radiance_size(_read_start(path, 4096))) is not None:
            return size
        height, width = read_image(path).shape[:2]  # raises a UserError that says what is wrong with the file
        return height, width
    return (width, height) if rotation >= 5 else (height, width)


def orientation(path: Path) -> int:
    """The orientation of an image file (EXIF, or the tag of a TIFF), 1 (upright) to 8; 1 for a file without it."""
    if is_tiff(_read_start(path)):
        return tiff_orientation(path)
    try:
        with _opened_header(path) as image:
            return exif_orientation(image, path)
    except _UNREADABLE:
        return 1


def apply_orientation(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An array [H, W, ...] as stored, rotated and flipped to be upright, given its EXIF orientation."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def _read_bytes(path: Path) -> NDArray[np.uint8]:
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); expected an image file; check the path"
        ) from None
    if not data.size:
        raise UserError(f"{path}: an empty file (0 bytes); expected an image; copy it again or remove it")
    return data


@contextmanager
def _opened_header(file: Path | io.BytesIO) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about damaged EXIF data: the pixels may be right
        with open_with_pillow(file) as image:
            yield image


def open_with_pillow(file: Path | io.BytesIO) -> Image.Image:
    """The image, its pixels not yet decoded, without Pillow's limit on their number."""
    with _pillow_limit:  # it is a global variable
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    return image


def exif_orientation(image: Image.Image, path: Path) -> int:
    """The orientation in the EXIF data, as OpenCV applies it: not that of XMP, which Pillow's ``getexif`` adds."""
    # Pillow finds EXIF behind the pixels of a PNG only by decoding them.
    data = _png_exif(path) if image.format == "PNG" else image.info.get("exif")
    if not data:
        return 1
    exif = Image.Exif()
    try:
        exif.load(data)
        value = exif.get(_ORIENTATION_TAG, 1)
    except (SyntaxError, ValueError, struct.error, TypeError, OSError):  # damaged EXIF data
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _png_exif(path: Path) -> bytes | None:
    with open(path, "rb") as file:
        file.seek(len(_PNG))
        while len(start := file.read(8)) == 8:
            length = int.from_bytes(start[:4], "big")
            if start[4:] == b"eXIf":
                return file.read(length)
            file.seek(length + 4, 1)  # and its checksum
    return None


def _read_start(path: Path, length: int = 4) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(length)
    except OSError:  # reading the image says what is wrong
        return b""


def resize_bands(
    image: NDArray[Any], size: tuple[int, int] | None, *, interpolation: int, fx: float = 0.0, fy: float = 0.0
) -> NDArray[Any]:
    """The image [height, width, bands] as ``cv2.resize`` gives it, with any number of bands.

    OpenCV averages areas (``cv2.INTER_AREA``) of at most four bands at a time.
    """
    bands = image.shape[2]
    at_once = min(bands, 4) if interpolation == cv2.INTER_AREA else bands
    parts = [
        cv2.resize(image[..., first : first + at_once], size, fx=fx, fy=fy, interpolation=interpolation)
        for first in range(0, bands, at_once)
    ]
    parts = [part.reshape(*part.shape[:2], -1) for part in parts]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def _reduced(image: NDArray[np.uint8], reduce: int) -> NDArray[np.uint8]:
    if reduce == 1:
        return image
    height, width = (-(-side // reduce) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def has_plain_colors(tiff: TiffImage) -> bool:
    """Whether ``rgb_of_tiff`` needs only the values: not for CMYK and other color spaces, which OpenCV decodes."""
    if tiff.photometric == "palette":
        return tiff.colormap is not None and tiff.values.dtype == np.uint8
    return tiff.photometric in ("minisblack", "miniswhite", "rgb", "cfa", "transparency_mask")


def rgb_of_tiff(tiff: TiffImage, path: Path) -> NDArray[np.uint8]:
    """The photograph in a TIFF, RGB [H, W, 3], not yet rotated."""
    values, bands = tiff.values, tiff.values.shape[2]
    if tiff.pages > 1:
        raise UnexpectedBands(
            f"{path}: {bands} pages or bands; expected one RGB image{SET_BANDS}={bands} to use all, or save one image "
            "per file"
        )
    if not has_plain_colors(tiff):
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = _decode(_read_bytes(path), flags, path, MAX_PIXELS)
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8)
    if tiff.photometric == "palette" and tiff.colormap is not None:
        return np.asarray(tiff.colormap[np.minimum(values[..., 0], len(tiff.colormap) - 1)])
    if values.dtype == bool or tiff.bits < 8:
        values = (values.astype(np.uint16) * 255 // ((1 << tiff.bits) - 1)).astype(np.uint8)
    if tiff.photometric == "miniswhite" and bands - tiff.has_alpha == 1 and values.dtype == np.uint8:
        values = 255 - values
    return _rgb_of_array(values, path, has_alpha=tiff.has_alpha)


def _rgb_of_array(values: NDArray[Any], path: Path, *, has_alpha: bool = False) -> NDArray[np.uint8]:
    """RGB [H, W, 3] of 8-bit values with 1 or 3 bands and alpha; ``UserError`` names the bands and depth of others."""
    values = values[..., None] if values.ndim == 2 else values
    bands = values.shape[-1]
    if values.ndim != 3:
        raise UserError(f"{path}: shape {values.shape}; expected [height, width, 3]; save one image per file")
    if values.dtype != np.uint8 or bands - has_alpha not in (1, 3):
        raise UnexpectedBands(
            f"{path}: {count_of(bands, 'band')} of {values.dtype}; expected an RGB image of 8 bits{SET_BANDS}={bands} "
            "to use the values as stored, or convert the image to 8-bit RGB"
        )
    image = values[..., :3] if bands >= 3 else values[..., :1].repeat(3, axis=2)
    return np.ascontiguousarray(image)


def _refuse_other_depth(start: bytes, path: Path) -> None:
    """``UserError`` for a PNG of 16 bits: OpenCV would drop the lower 8 bits without a word."""
    if start.startswith(_PNG) and len(start) > 25 and start[24] == 16:
        bands = {0: 1, 2: 3, 4: 4, 6: 4}.get(start[25], 3)  # OpenCV reads gray with alpha as four bands
        raise UnexpectedBands(
            f"{path}: {count_of(bands, 'band')} of uint16; expected an RGB image of 8 bits{SET_BANDS}={bands} "
            "to use the values as stored, or convert the image to 8-bit RGB"
        )


def _as_network_type(image: NDArray[Any], path: Path) -> NDArray[Any]:
    """uint8, uint16 or float32 values; ``UserError`` where that would change them, and for NaN or infinity."""
    image = image.astype(image.dtype.newbyteorder("="), copy=False)  # the byte order of this machine
    if image.dtype == bool:
        image = image.astype(np.uint8)
    elif image.dtype.kind in "iuf" and image.dtype not in (np.uint8, np.uint16, np.float32):
        converted = image.astype(np.float32)
        if image.dtype.kind in "iu" and (converted.astype(np.float64) != image).any():
            raise UserError(
                f"{path}: values are {image.dtype} beyond 2^24, which float32 does not hold; expected uint8, uint16 or "
                "float32; convert the file"
            )
        image = converted
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise UserError(
            f"{path}: values are {image.dtype}; expected uint8, uint16 or float32; convert the file"
        )
    if image.dtype == np.float32 and not np.isfinite(image).all():
        raise UserError(f"{path}: contains NaN or infinite values; expected finite values; replace them")
    return image


def _decode(data: NDArray[np.uint8], flags: int, path: Path, max_pixels: int) -> NDArray[Any]:
    if (size := _size_in_header(data)) is not None:
        refuse_decompression_bomb(path, size[1], size[0], max_pixels)
    if _is_truncated(data.tobytes()):
        # Before version 5 OpenCV fills the missing part with gray, without an error.
        raise UserError(f"{path}: truncated (the end of the file is missing); copy it again or remove it")
    try:
        image = cv2.imdecode(data, flags)
    except cv2.error:  # OpenCV's own limit on the number of pixels
        image = None
    if image is None:
        raise UserError(f"{path}: not an image that can be decoded; copy it again, convert it, or remove it")
    return np.asarray(image)


def _size_in_header(data: NDArray[np.uint8]) -> tuple[int, int] | None:
    """(height, width) as stored, from the header of an image in any format; None if it has no header."""
    head = data[:24].tobytes()
    if head.startswith(_PNG) and len(head) == 24:
        width, height = struct.unpack(">II", head[16:24])
        return height, width
    if head.startswith(_JPEG):
        return _jpeg_size(data)
    if head.startswith(_RADIANCE):
        return _radiance_size(data[:4096].tobytes())
    try:
        with _opened_header(io.BytesIO(data.data)) as image:
            return image.height, image.width
    except _UNREADABLE:  # OpenCV says whether it is an image
        return None


def _radiance_size(start: bytes) -> tuple[int, int] | None:
    """(height, width) in the header of a Radiance image (.hdr), which Pillow does not read."""
    sides = re.search(rb"[-+]Y +(\d{1,9}) +[-+]X +(\d{1,9})", start)
    return None if sides is None or not start.startswith(_RADIANCE) else (int(sides[1]), int(sides[2]))


def _jpeg_size(data: NDArray[np.uint8]) -> tuple[int, int] | None:
    """(height, width) in the header of a JPEG, as stored; None for a file without such a header."""
    position = 2
    while position + 9 <= len(data) and bytes(data[:2]) == _JPEG and data[position] == 0xFF:
        if 0xC0 <= data[position + 1] <= 0xCF and data[position + 1] not in (
            0xC4,
            0xC8,
            0xCC,
        ):  # a frame header
            height, width = struct.unpack(">HH", data[position + 5 : position + 9].tobytes())
            return height, width
        position += 2 + int.from_bytes(data[position + 2 : position + 4].tobytes(), "big")
    return None


def _is_truncated(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end marker."""
    if data.startswith(_PNG):
        return data.rfind(b"IEND") < 0
    if not data.startswith(_JPEG):
        return False
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        # Skip the segments before the pixels: a thumbnail there has its own end marker.
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data.find(b"\xff\xd9", position) < 0


def read_npy(path: Path, *, memory_map: bool = False) -> NDArray[Any]:
    """The array of a .npy file; ``UserError`` for a damaged file, and for Python objects, which could run code."""
    try:
        return np.asarray(np.load(path, mmap_mode="r" if memory_map else None, allow_pickle=False))
    except Exception as error:  # a damaged header can raise nearly any exception in its parser
        raise UserError(
            f"{path}: not an array that can be read ({error}); save it again with numpy.save"
        ) from None
