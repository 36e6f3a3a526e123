"""Image files with their maps: the form in which nearly every data set lies on a disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segwright.contracts import IGNORED, Sample, UserError
from segwright.labels import LabelSpace

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(slots=True)
class Pairs:
    """An opened split of image files and maps in raw values; ``maps[i]`` is None where there is no truth."""

    labels: LabelSpace
    images: tuple[Path, ...]
    maps: tuple[Path | None, ...]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        """Read image and map; without truth every pixel is ignored."""
        image, path = read_image(self.images[index]), self.maps[index]
        name = self.images[index].stem
        if path is None:
            return Sample(image, np.full(image.shape[:2], IGNORED, np.uint8), name)
        try:
            classes = self.labels.to_classes(read_map(path))
        except ValueError as error:
            raise UserError(f"{path}: {error}; correct the file or the label space") from None
        if classes.shape != image.shape[:2]:
            raise UserError(
                f"{path}: the map is {_size(classes)}, its image {self.images[index]} is {_size(image)}; "
                "expected equal width and height"
            )
        return Sample(image, classes, name)

    def files(self, index: int) -> tuple[Path, ...]:
        """The image, and its map if there is one."""
        path = self.maps[index]
        return (self.images[index],) if path is None else (self.images[index], path)


def read_image(path: Path) -> NDArray[np.uint8]:
    """RGB image uint8 [H, W, 3], turned as its EXIF orientation says."""
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected an image file") from None
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise UserError(f"{path}: not an image that can be decoded; remove it or replace it")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)  # type: ignore[return-value]


def read_map(path: Path) -> NDArray[Any]:
    """Raw values [H, W] of an index map: grayscale, 16-bit or palette PNG (the palette's indices)."""
    try:
        with Image.open(path) as image:
            raw = np.array(image)
    except OSError as error:
        raise UserError(f"{path}: not a map that can be read ({error}); expected an index PNG") from None
    if raw.ndim != 2:
        raise UserError(
            f"{path}: {raw.ndim} dimensions, mode {image.mode}; expected one channel of class values, "
            "found colors: convert the map to indices"
        )
    return raw


def write_png(path: Path, array: NDArray[Any]) -> None:
    """Write uint8/uint16 [H, W] or RGB uint8 [H, W, 3] as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = cv2.cvtColor(array, cv2.COLOR_RGB2BGR) if array.ndim == 3 else array
    done, encoded = cv2.imencode(".png", data)
    assert done, array.shape
    path.write_bytes(encoded.tobytes())


def _size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
