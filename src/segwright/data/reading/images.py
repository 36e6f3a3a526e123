"""Reading photographs and multi-band images as arrays."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from segwright.errors import UserError

MAX_PIXELS = 2**28
"""Larger images are refused (16384 x 16384): a small file can claim a size that exhausts the memory."""

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_ORIENTATION_TAG = 0x0112  # of EXIF


def read_image(path: Path, *, reduce: int = 1) -> NDArray[np.uint8]:
    """An RGB image, uint8 [H, W, 3], with its EXIF orientation applied.

    ``reduce`` 2, 4 or 8 reads the image at 1/2, 1/4 or 1/8 of its size; a JPEG is decoded directly at that size.
    ``UserError`` for a file that is no image, truncated, or too large.
    """
    data = _read_bytes(path)
    image: NDArray[np.uint8] = _decode(data, _REDUCED[reduce], path)
    cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    return image


def read_bands(path: Path, bands: int) -> NDArray[Any]:
    """An image with any number of bands, [H, W, bands], as stored: uint8, uint16 or float32.

    Reads .npy ([H, W, C] or [H, W]), TIFF (bands interleaved, or one band per page) and every format of OpenCV.
    The bands keep the order of the file. ``UserError`` for another number of bands, another type, NaN or infinity.
    """
    if path.suffix.lower() == ".npy":
        image = _read_npy(path)
    elif path.suffix.lower() in (".tif", ".tiff"):
        image = _read_tiff(path)
    else:
        image = _decode(_read_bytes(path), cv2.IMREAD_UNCHANGED, path)
        if image.ndim == 3 and image.shape[2] >= 3:
            image = image[..., [2, 1, 0, *range(3, image.shape[2])]]
    image = image[..., None] if image.ndim == 2 else image
    if image.ndim != 3 or image.shape[2] != bands:
        raise UserError(
            f"{path}: shape {image.shape}; expected [height, width, {bands}]; set data.bands to the number of bands"
        )
    if image.dtype == np.float64:
        image = image.astype(np.float32)
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise UserError(
            f"{path}: values are {image.dtype}; expected uint8, uint16 or float32; convert the file"
        )
    if image.dtype == np.float32 and not np.isfinite(image).all():
        raise UserError(f"{path}: contains NaN or infinite values; expected finite values; replace them")
    return np.ascontiguousarray(image)


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) after the EXIF orientation, read from the header of the file."""
    if path.suffix.lower() == ".npy":
        shape = _read_npy(path, memory_map=True).shape
        return int(shape[0]), int(shape[1])
    try:
        with Image.open(path) as image:
            width, height = image.size
            exif_orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError):
        height, width = read_image(path).shape[:2]  # raises a UserError that says what is wrong with the file
        return height, width
    return (width, height) if exif_orientation >= 5 else (height, width)


def orientation(path: Path) -> int:
    """The EXIF orientation of an image file, 1 (upright) to 8; 1 for a file without it."""
    try:
        with Image.open(path) as image:
            return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError):
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


def _decode(data: NDArray[np.uint8], flags: int, path: Path) -> NDArray[Any]:
    head = data[:24].tobytes()
    if head.startswith(_PNG) and len(head) == 24:
        width, height = struct.unpack(">II", head[16:24])
        refuse_decompression_bomb(path, width, height)
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


def refuse_decompression_bomb(path: Path, width: int, height: int) -> None:
    """``UserError`` for an image of more than ``MAX_PIXELS`` pixels."""
    if width * height > MAX_PIXELS:
        raise UserError(
            f"{path}: header reports {width}x{height} pixels; expected at most {MAX_PIXELS:,} in all; remove the file"
        )


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


def _read_npy(path: Path, *, memory_map: bool = False) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, mmap_mode="r" if memory_map else None, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path}: not an array that can be read ({error}); save it again with numpy.save"
        ) from None


def _read_tiff(path: Path) -> NDArray[Any]:
    """A TIFF with its bands interleaved in one page, [H, W, C] or [H, W], or with one band per page."""
    data = _read_bytes(path)
    try:
        success, pages = cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        success, pages = False, ()
    if not success or not pages:
        raise UserError(f"{path}: not a TIFF that can be decoded; save it uncompressed, or as .npy")
    if len(pages) == 1:
        image = np.asarray(pages[0])
        is_bgr = image.ndim == 3 and image.shape[2] in (3, 4)  # OpenCV turns RGB(A) into BGR(A)
        return image[..., [2, 1, 0, *range(3, image.shape[2])]] if is_bgr else image
    if len({page.shape for page in pages}) > 1 or pages[0].ndim != 2:
        raise UserError(
            f"{path}: {len(pages)} pages of different shapes; expected one band per page; save the image as .npy"
        )
    return np.stack(pages, axis=-1)
