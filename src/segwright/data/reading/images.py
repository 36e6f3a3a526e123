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

MOST_PIXELS = 2**28
"""An image of more pixels is refused: 16384 x 16384, beyond any photograph."""

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_TURNED = 0x0112  # the EXIF tag of the orientation


def read_image(path: Path, *, reduce: int = 1) -> NDArray[np.uint8]:
    """RGB image uint8 [H, W, 3], turned as its EXIF orientation says.

    ``reduce`` 2, 4 or 8 gives the image at that part of its size; a JPEG is then decoded at that size.
    """
    data = _bytes(path)
    image = _decode(data, _REDUCED[reduce], path)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)  # type: ignore[return-value]


def read_bands(path: Path, bands: int) -> NDArray[Any]:
    """An image of any number of bands [H, W, C] as stored: uint8, uint16 or float32.

    Reads .npy ([H, W, C] or [H, W]), TIFF (bands interleaved, or one a page) and what OpenCV reads. Three
    bands of a PNG or TIFF come in the order in which they are stored. ``UserError`` for another number.
    """
    if path.suffix.lower() == ".npy":
        image = _read_npy(path)
    elif path.suffix.lower() in (".tif", ".tiff"):
        image = _read_tiff(path)
    else:
        image = _decode(_bytes(path), cv2.IMREAD_UNCHANGED, path)
        if image.ndim == 3 and image.shape[2] >= 3:
            image = image[..., [2, 1, 0, *range(3, image.shape[2])]]
    image = image[..., None] if image.ndim == 2 else image
    if image.ndim != 3 or image.shape[2] != bands:
        raise UserError(
            f"{path}: shape {image.shape}; expected [height, width, {bands}]; set data.bands to fit"
        )
    if image.dtype == np.float64:
        image = image.astype(np.float32)
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise UserError(
            f"{path}: values are {image.dtype}; expected uint8, uint16 or float32; convert the file"
        )
    if image.dtype == np.float32 and not np.isfinite(image).all():
        raise UserError(f"{path}: holds NaN or infinite values; expected finite ones; replace them")
    return np.ascontiguousarray(image)


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) as displayed, from the header alone."""
    if path.suffix.lower() == ".npy":
        shape = _read_npy(path, lazily=True).shape
        return int(shape[0]), int(shape[1])
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_TURNED, 1)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError):
        height, width = read_image(path).shape[:2]  # names what is wrong with it
        return height, width
    return (width, height) if turned >= 5 else (height, width)


def orientation(path: Path) -> int:
    """The EXIF orientation of an image file, 1 (upright) to 8."""
    try:
        with Image.open(path) as image:
            return int(image.getexif().get(_TURNED, 1))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError):
        return 1


def turn(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An array [H, W, ...] as stored, turned and mirrored as an EXIF orientation says."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def _bytes(path: Path) -> NDArray[np.uint8]:
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected an image file") from None
    if not data.size:
        raise UserError(f"{path}: an empty file (0 bytes); expected an image; copy it again or remove it")
    return data


def _decode(data: NDArray[np.uint8], flags: int, path: Path) -> NDArray[Any]:
    head = data[:24].tobytes()
    if head.startswith(_PNG) and len(head) == 24:
        width, height = struct.unpack(">II", head[16:24])
        refuse_bomb(path, width, height)
    if _cut_short(data.tobytes()):
        # Before version 5 OpenCV fills what is missing with gray and says nothing.
        raise UserError(f"{path}: truncated (its end is missing); copy it again or remove it")
    try:
        image = cv2.imdecode(data, flags)
    except cv2.error:  # OpenCV's own limit on the number of pixels
        image = None
    if image is None:
        raise UserError(f"{path}: not an image that can be decoded; copy it again, convert it, or remove it")
    return np.asarray(image)


def refuse_bomb(path: Path, width: int, height: int) -> None:
    """``UserError`` for an image that says it is larger than any photograph."""
    if width * height > MOST_PIXELS:
        raise UserError(
            f"{path}: says it is {width}x{height}; at most {MOST_PIXELS:,} pixels are read; remove it"
        )


def _cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end marker."""
    if data.startswith(_PNG):
        return data.rfind(b"IEND") < 0
    if not data.startswith(_JPEG):
        return False
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xDA:
        # A segment before the pixels: a thumbnail in it has an end marker of its own.
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return data.find(b"\xff\xd9", place) < 0


def _read_npy(path: Path, *, lazily: bool = False) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, mmap_mode="r" if lazily else None, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path}: not an array that can be read ({error}); save it again with numpy.save"
        ) from None


def _read_tiff(path: Path) -> NDArray[Any]:
    """By OpenCV where it can: bands interleaved, or one page a band."""
    data = _bytes(path)
    try:
        done, pages = cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        done, pages = False, ()
    if not done or not pages:
        raise UserError(f"{path}: not a TIFF that can be decoded; save it uncompressed, or as .npy")
    if len(pages) == 1:
        image = np.asarray(pages[0])
        swap = image.ndim == 3 and image.shape[2] in (3, 4)  # OpenCV turns RGB(A) into BGR(A)
        return image[..., [2, 1, 0, *range(3, image.shape[2])]] if swap else image
    if len({page.shape for page in pages}) > 1 or pages[0].ndim != 2:
        raise UserError(
            f"{path}: {len(pages)} pages of unlike shape; expected one band a page; or save it as .npy"
        )
    return np.stack(pages, axis=-1)
