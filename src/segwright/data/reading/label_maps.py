"""Reading and writing maps: one value a pixel, as PNG or TIFF."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from segwright.data.reading.images import refuse_bomb
from segwright.errors import UserError

Channels = Literal["index", "rgb", "rgba"]
_WANTED: dict[Channels, str] = {
    "index": "one channel of class values (an index or palette PNG)",
    "rgb": "three channels (an RGB PNG)",
    "rgba": "four channels (an RGBA PNG)",
}


def read_map(path: Path, channels: Channels = "index") -> NDArray[Any]:
    """The raw values of a map, turned as its own EXIF orientation says.

    "index": [H, W] uint8 or uint16 of a grayscale, 16-bit or palette file (the palette's indices); "rgb" and
    "rgba": [H, W, 3 or 4] uint8. ``UserError`` for anything else.
    """
    raw = _read_npy(path) if path.suffix.lower() == ".npy" else _read(path)
    found = 1 if raw.ndim == 2 else raw.shape[2]
    if channels == "rgb" and found == 4:
        raw, found = raw[..., :3], 3  # a tool added an opaque alpha
    if found != {"index": 1, "rgb": 3, "rgba": 4}[channels]:
        remedy = (
            "the map shows colors: convert it to indices with 'segwright data convert rgb'"
            if channels == "index"
            else "check which kind of map this data set wants"
        )
        raise UserError(f"{path}: {found} channels; expected {_WANTED[channels]}; {remedy}")
    return raw


def _read(path: Path) -> NDArray[Any]:
    try:
        if not path.stat().st_size:
            raise UserError(
                f"{path}: an empty file (0 bytes); expected a map; copy it again or remove the pair"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours
            with Image.open(path) as image:
                refuse_bomb(path, *image.size)
                if image.format == "JPEG":
                    raise UserError(
                        f"{path}: a map stored as JPEG, which changes its values; expected PNG; export it again"
                    )
                raw = np.array(ImageOps.exif_transpose(image) if image.info.get("exif") else image)
    except (OSError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError) as error:
        why = "truncated or damaged" if "cannot identify" in str(error) else str(error).splitlines()[0]
        why = getattr(error, "strerror", None) or why
        raise UserError(f"{path}: not a map that can be read ({why}); copy it again or replace it") from None
    if raw.dtype == bool:
        return raw.astype(np.uint8)
    if raw.ndim == 3 and raw.shape[2] == 2:  # gray with alpha
        return raw[..., 0]
    if raw.dtype == np.float32:
        raise UserError(f"{path}: values are float32; expected whole numbers; save it as an 8- or 16-bit PNG")
    return raw


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        raw = np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path}: not an array that can be read ({error}); save it again with numpy.save"
        ) from None
    if raw.dtype.kind not in "ui" or raw.ndim not in (2, 3):
        raise UserError(f"{path}: {raw.dtype} {raw.shape}; expected whole numbers [height, width]")
    return raw


def pack(colors: NDArray[np.uint8]) -> NDArray[np.int32]:
    """65536 R + 256 G + B of an RGB array [..., 3], int32 [...]."""
    red, green, blue = (colors[..., c].astype(np.int32) for c in range(3))
    return np.asarray(red << 16 | green << 8 | blue, dtype=np.int32)


def unpack(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The inverse of ``pack``."""
    return np.stack([values >> 16 & 255, values >> 8 & 255, values & 255], axis=-1).astype(np.uint8)


def present(ids: NDArray[Any]) -> NDArray[np.int64]:
    """The values that occur, sorted, by marking them in a table: five times faster than sorting the pixels.

    Falls back to sorting for values below 0 or from 2^25 on.
    """
    if not ids.size:
        return np.zeros(0, np.int64)
    top = int(ids.max())
    if top >= 1 << 25 or int(ids.min()) < 0:
        return np.unique(ids).astype(np.int64)
    seen = np.zeros(top + 1, dtype=bool)
    seen[ids.ravel()] = True
    return np.flatnonzero(seen)


def write_png(path: Path, array: NDArray[Any]) -> None:
    """Write uint8/uint16 [H, W] or RGB uint8 [H, W, 3] as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = cv2.cvtColor(array, cv2.COLOR_RGB2BGR) if array.ndim == 3 else array
    done, encoded = cv2.imencode(".png", data)
    assert done, array.shape
    path.write_bytes(encoded.tobytes())
