"""PNG files from maps and RGB images: compressed by libdeflate, which writes the same bytes for the same pixels.

ISA-L is faster, but now and then it wrote other bytes on a busy machine. The rows of maps have no filter, those of RGB
images the difference to the row above, which makes the files of photographs a fifth smaller.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

GRAY, RGB, PALETTE = 0, 2, 3  # color types of PNG
_NO_FILTER, _ROW_ABOVE = 0, 2  # filters of PNG
_RGB_LEVEL, _MAP_LEVEL = 1, 2  # of 0 to 12; long runs are faster at 2 than at 1


def encode_png(array: NDArray[Any], palette: NDArray[np.uint8] | None = None) -> bytes:
    """The PNG file of a map uint8 or uint16 [H, W], or of an RGB image uint8 [H, W, 3].

    With ``palette``, uint8 [K, 3], a map uint8 [H, W] of indices below K becomes an image in these colors.
    """
    if array.dtype not in (np.uint8, np.uint16) or array.ndim not in (2, 3) or not array.size:
        raise ValueError(f"{array.dtype} {array.shape}; expected uint8 or uint16 [H, W], or uint8 [H, W, 3]")
    color = RGB if array.ndim == 3 else GRAY if palette is None else PALETTE
    height, width = array.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8 * array.itemsize, color, 0, 0, 0)
    colors = b"" if palette is None else chunk(b"PLTE", np.ascontiguousarray(palette).tobytes())
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + colors + chunk(b"IDAT", _compressed(array)) + chunk(b"IEND", b"")


def _compressed(array: NDArray[Any]) -> bytes:
    import imagecodecs  # only those who write need it

    values = array.astype(">u2") if array.itemsize == 2 else array  # PNG is big-endian
    pixels = np.ascontiguousarray(values).view(np.uint8).reshape(len(array), -1)
    buffer = bytearray(len(array) * (pixels.shape[1] + 1))  # which the encoder takes without a copy
    rows = np.frombuffer(buffer, np.uint8).reshape(len(array), -1)
    rows[:, 0] = _ROW_ABOVE if array.ndim == 3 else _NO_FILTER
    rows[:, 1:] = pixels
    if array.ndim == 3:
        rows[1:, 1:] -= pixels[:-1]
    return bytes(imagecodecs.deflate_encode(buffer, _RGB_LEVEL if array.ndim == 3 else _MAP_LEVEL))


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG file: its length, kind, data and checksum."""
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
