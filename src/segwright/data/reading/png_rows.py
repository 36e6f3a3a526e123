"""PNG files of any size, written from blocks of rows that need not be in memory together."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.png_encoder import GRAY, PALETTE, RGB, chunk

_LEVEL = 1  # of 0 to 9


def write_png_rows(
    path: Path,
    blocks: Iterable[NDArray[Any]],
    size: tuple[int, int],
    *,
    palette: NDArray[np.uint8] | None = None,
) -> None:
    """Write the rows of ``blocks`` as one PNG of ``size`` (height, width).

    A block is uint8 or uint16 [rows, W], or uint8 RGB [rows, W, 3]; all are of one kind. ``palette``, uint8 [K, 3],
    makes a map uint8 of indices below K an image in these colors.
    """
    compressor, header_written = zlib.compressobj(_LEVEL), False
    with open(path, "wb") as file:
        for block in blocks:
            if not header_written:
                color = RGB if block.ndim == 3 else GRAY if palette is None else PALETTE
                header = struct.pack(">IIBBBBB", size[1], size[0], 8 * block.itemsize, color, 0, 0, 0)
                file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header))
                if palette is not None:
                    file.write(chunk(b"PLTE", np.ascontiguousarray(palette, np.uint8).tobytes()))
                header_written = True
            if data := compressor.compress(_filtered(block).data):
                file.write(chunk(b"IDAT", data))
        file.write(chunk(b"IDAT", compressor.flush()) + chunk(b"IEND", b""))


def _filtered(block: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of the rows, each behind the number of its filter: 0, none."""
    values = block.astype(">u2") if block.itemsize == 2 else block
    pixels = np.ascontiguousarray(values).view(np.uint8).reshape(len(block), -1)
    return np.ascontiguousarray(np.pad(pixels, ((0, 0), (1, 0))))
