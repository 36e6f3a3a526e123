"""Reading and writing label maps: one value per pixel, stored as PNG, TIFF or .npy."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from segwright.data.reading.images import refuse_decompression_bomb
from segwright.errors import UserError

Channels = Literal["index", "rgb", "rgba"]
_EXPECTED: dict[Channels, str] = {
    "index": "one channel of class values (an index or palette PNG)",
    "rgb": "three channels (an RGB PNG)",
    "rgba": "four channels (an RGBA PNG)",
}


def read_map(path: Path, channels: Channels = "index") -> NDArray[Any]:
    """The raw values of a label map, with its EXIF orientation applied.

    "index": [H, W] uint8 or uint16 of a grayscale, 16-bit or palette file (the palette indices); "rgb" and
    "rgba": uint8 [H, W, 3 or 4]. ``UserError`` for a file with another number of channels, or an unreadable one.
    """
    raw = _read_npy(path) if path.suffix.lower() == ".npy" else _read(path)
    count = 1 if raw.ndim == 2 else raw.shape[2]
    if channels == "rgb" and count == 4:
        raw, count = raw[..., :3], 3  # some tools add an opaque alpha channel
    if count != {"index": 1, "rgb": 3, "rgba": 4}[channels]:
        remedy = (
            "the map contains colors: convert it to class values with 'segwright data convert rgb'"
            if channels == "index"
            else "check which kind of map this dataset expects"
        )
        raise UserError(f"{path}: {count} channels; expected {_EXPECTED[channels]}; {remedy}")
    return raw


def _read(path: Path) -> NDArray[Any]:
    try:
        if not path.stat().st_size:
            raise UserError(
                f"{path}: an empty file (0 bytes); expected a label map; copy it again, or remove it and its image"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit applies
            with Image.open(path) as image:
                refuse_decompression_bomb(path, *image.size)
                if image.format == "JPEG":
                    raise UserError(
                        f"{path}: a map stored as JPEG, which changes its values; expected PNG; export it again"
                    )
                raw = np.array(ImageOps.exif_transpose(image) if image.info.get("exif") else image)
    except (OSError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "truncated or damaged" if "cannot identify" in str(error) else str(error).splitlines()[0]
        reason = getattr(error, "strerror", None) or reason
        raise UserError(
            f"{path}: not a map that can be read ({reason}); copy it again or replace it"
        ) from None
    if raw.dtype == bool:
        return raw.astype(np.uint8)
    if raw.ndim == 3 and raw.shape[2] == 2:  # gray with alpha
        return raw[..., 0]
    if raw.dtype == np.float32:
        raise UserError(f"{path}: values are float32; expected integers; save it as an 8- or 16-bit PNG")
    return raw


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        raw = np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path}: not an array that can be read ({error}); save it again with numpy.save"
        ) from None
    if raw.dtype.kind not in "ui" or raw.ndim not in (2, 3):
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


def write_png(path: Path, array: NDArray[Any]) -> None:
    """Write a map uint8 or uint16 [H, W], or an RGB image uint8 [H, W, 3], as PNG; missing folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = cv2.cvtColor(array, cv2.COLOR_RGB2BGR) if array.ndim == 3 else array
    success, encoded = cv2.imencode(".png", data)
    assert success, array.shape
    path.write_bytes(encoded.tobytes())
