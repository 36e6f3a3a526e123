"""Reading parts of images that may not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from segwright.data.reading.images import (
    band_values,
    has_plain_colors,
    image_size,
    read_bands,
    read_image,
    rgb_of_tiff,
)
from segwright.data.reading.limits import MAX_PIXELS, refuse_decompression_bomb
from segwright.data.reading.tiff import TiffImage, is_tiff
from segwright.data.reading.tiff_blocks import Tag, TiffBlocks, georeference, opened_blocks


@dataclass(frozen=True, slots=True, eq=False)
class ImageBlocks:
    """An opened image. ``size``: (height, width). ``georeference``: the tags of a GeoTIFF, empty for other images.

    ``read(rows, columns)``: the part in these rows and columns, as ``read_image`` or ``read_bands`` give it.
    """

    size: tuple[int, int]
    read: Callable[[slice, slice], NDArray[Any]]
    georeference: tuple[Tag, ...] = ()


@contextmanager
def open_image(
    path: Path, bands: int | None = None, *, max_pixels: int = MAX_PIXELS
) -> Iterator[ImageBlocks]:
    """An image that is read in parts: RGB uint8, or ``bands`` with their values as stored.

    Of a TIFF only the tiles or strips that a part needs are decoded. Other files, and rotated TIFFs, are decoded once
    as a whole. ``UserError`` for an image of more than ``max_pixels`` pixels, and for what ``read_image`` and
    ``read_bands`` refuse.
    """
    height, width = image_size(path)
    refuse_decompression_bomb(path, width, height, max_pixels)
    with open(path, "rb") as file:
        start = file.read(4)
    if not is_tiff(start):
        yield _whole(path, bands, max_pixels)
        return
    with opened_blocks(path) as tiff:
        if tiff is None or not (bands is not None or has_plain_colors(tiff.layout)):
            yield _whole(path, bands, max_pixels)
        else:
            tags = georeference(tiff.pages[0])
            yield ImageBlocks(tiff.size, lambda rows, columns: _values(tiff, bands, rows, columns), tags)


def tiff_georeference(path: Path) -> tuple[Tag, ...]:
    """The georeference of a GeoTIFF; empty for any other file, and for a rotated TIFF."""
    with open(path, "rb") as file:
        start = file.read(4)
    if not is_tiff(start):
        return ()
    with opened_blocks(path) as tiff:
        return () if tiff is None else georeference(tiff.pages[0])


def _values(tiff: TiffBlocks, bands: int | None, rows: slice, columns: slice) -> NDArray[Any]:
    part: TiffImage = tiff.read(rows, columns)
    return rgb_of_tiff(part, tiff.path) if bands is None else band_values(part.values, bands, tiff.path)


def _whole(path: Path, bands: int | None, max_pixels: int) -> ImageBlocks:
    if bands is None:
        image: NDArray[Any] = read_image(path, max_pixels=max_pixels)
    else:
        image = read_bands(path, bands, max_pixels=max_pixels)
    return ImageBlocks((image.shape[0], image.shape[1]), lambda rows, columns: image[rows, columns])
