"""Reading TIFF files with their values as stored, in any layout, with tifffile."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.limits import MAX_PIXELS, refuse_decompression_bomb, refuse_huge_values
from segwright.errors import UserError, first_line

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
_ALPHA = (1, 2)  # values of the tag ExtraSamples: associated and unassociated alpha
_REDUCED_OR_MASK = 0b101  # bits of the tag NewSubfileType: thumbnails and overviews, transparency masks
_LOSSY = ("JPEG", "OJPEG", "WEBP", "JETRAW", "JPEGXR", "JPEG_LOSSY", "ALT_JPEG")
# Without a handler, Python prints tifffile's messages about unusual tags to the console.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class TiffImage:
    """The pixels of a TIFF, and what its tags say about them.

    ``values``: [H, W, bands] as stored, not yet rotated. ``orientation``: 1 (upright) to 8. ``photometric``:
    minisblack, miniswhite, rgb, palette, separated (CMYK), ... ``bits``: bits per value. ``has_alpha``: the last band
    is alpha. ``pages``: the number of pages that are stacked in ``values``. ``lossy``: the compression changes values.
    ``colormap``: the colors of a palette image, uint8 [colors, 3].
    """

    values: NDArray[Any]
    orientation: int
    photometric: str
    bits: int
    has_alpha: bool
    pages: int
    lossy: bool
    colormap: NDArray[np.uint8] | None


def is_tiff(start: bytes) -> bool:
    """Whether the first bytes of a file are those of a TIFF, whatever its name."""
    return start[:4] in _SIGNATURES


def read_tiff(path: Path, *, max_pixels: int = MAX_PIXELS) -> TiffImage:
    """The image in a TIFF: its first page, or all pages as bands if each has one band and the same size.

    Overviews, thumbnails and transparency masks are skipped. ``UserError`` for a damaged or truncated file, and for
    pages that do not form one image.
    """
    with _opened(path) as file:
        pages = image_pages(file)
        first = pages[0]
        refuse_decompression_bomb(path, first.imagewidth * len(pages), first.imagelength, max_pixels)
        refuse_huge_values(path, sum(map(_bytes_of, pages)), max_pixels)
        check_pages(path, pages)
        # One thread: loader processes are many already.
        values = np.concatenate([_page_values(page, path) for page in pages], axis=2)
        if bands_are_last(file, pages):
            values = values.transpose(2, 0, 1)
        return described_image(values, pages)


def _bytes_of(page: Any) -> int:
    """The memory that a page, and a tile of it, take while they are decoded, in bytes."""
    samples = page.samplesperpixel * page.imagedepth * max(1, -(-page.bitspersample // 8))
    tile = page.tilewidth * page.tilelength * max(1, page.tiledepth) if page.is_tiled else 0
    return int(samples * (page.imagewidth * page.imagelength + tile))


def described_image(values: NDArray[Any], pages: list[Any]) -> TiffImage:
    """``values`` [H, W, bands], read from these pages, with what the tags say about them."""
    first = pages[0]
    compression = first.compression.name
    is_rgb_jpeg = first.photometric.name == "YCBCR" and compression in ("JPEG", "ALT_JPEG")
    return TiffImage(
        values,
        _orientation(first),
        "rgb" if is_rgb_jpeg else first.photometric.name.lower(),
        int(first.bitspersample),
        _has_alpha(first),
        len(pages),
        compression in _LOSSY,
        _colormap(first),
    )


def tiff_size(path: Path) -> tuple[int, int]:
    """(height, width) of the upright image in a TIFF, from its tags."""
    with _opened(path) as file:
        pages = image_pages(file)
        first = pages[0]
        height, width = int(first.imagelength), int(first.imagewidth)
        if bands_are_last(file, pages):
            height, width = len(pages), height
        return (width, height) if _orientation(first) >= 5 else (height, width)


def tiff_orientation(path: Path) -> int:
    """The orientation of a TIFF, 1 (upright) to 8."""
    with _opened(path) as file:
        return _orientation(image_pages(file)[0])


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import tifffile  # a third of a second; most datasets have no TIFF

    with tiff_errors(path), tifffile.TiffFile(path) as file:
        yield file


@contextmanager
def tiff_errors(path: Path) -> Iterator[None]:
    """``UserError`` for whatever goes wrong while a TIFF is read."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror or error}); expected a TIFF; check the file"
        ) from None
    except Exception as error:  # a damaged file can raise nearly any exception in the reader and its decoders
        reason = first_line(error)
        raise UserError(
            f"{path}: not a TIFF that can be decoded ({reason}); save it uncompressed, or as .npy"
        ) from None


def image_pages(file: Any) -> list[Any]:
    """The pages of an opened file, without overviews, thumbnails and transparency masks."""
    pages = list(file.pages)
    return [page for page in pages if not int(page.subfiletype) & _REDUCED_OR_MASK] or pages[:1]


def check_pages(path: Path, pages: list[Any]) -> None:
    """``UserError`` if the end of the file is missing, or if the pages do not form one image."""
    _refuse_truncated(path, pages)
    if len(pages) > 1:
        _require_bands(path, pages)


def _require_bands(path: Path, pages: list[Any]) -> None:
    shapes = {(page.imagelength, page.imagewidth, page.dtype) for page in pages}
    if len(shapes) > 1 or any(page.samplesperpixel > 1 for page in pages):
        kind = "different shapes" if len(shapes) > 1 else f"{pages[0].samplesperpixel} bands each"
        raise UserError(
            f"{path}: {len(pages)} pages of {kind}; expected one page, or one band per page; save the image as .npy"
        )


def _refuse_truncated(path: Path, pages: list[Any]) -> None:
    size = path.stat().st_size
    for page in pages:
        ends = zip(page.dataoffsets, page.databytecounts, strict=False)
        if not page.dataoffsets or max(offset + count for offset, count in ends) > size:
            raise UserError(f"{path}: truncated (the end of the file is missing); copy it again or remove it")


def _page_values(page: Any, path: Path) -> NDArray[Any]:
    """The values of a page, [H, W, bands]."""
    if page.dtype is None:
        raise UserError(
            f"{path}: values of {page.bitspersample} bits and sample format {page.sampleformat}; expected integers "
            "or floats of 8, 16 or 32 bits; convert the file"
        )
    if page.imagedepth > 1:
        raise UserError(
            f"{path}: a volume of {page.imagedepth} slices; expected one image; save each slice as a file"
        )
    values = np.asarray(page.asarray(maxworkers=1))
    height, width = page.imagelength, page.imagewidth
    if page.planarconfig == 2 and page.samplesperpixel > 1:  # one plane after the other
        return np.moveaxis(values.reshape(-1, height, width), 0, 2)
    return values.reshape(height, width, -1)


def bands_are_last(file: Any, pages: list[Any]) -> bool:
    """Whether the file holds an array [H, W, bands] as H pages of W x bands: the default of ``tifffile.imwrite``."""
    if len(pages) < 2 or not file.is_shaped:
        return False
    shape: tuple[int, ...] = file.series[0].shape
    return len(shape) == 3 and shape[0] == len(pages) and shape[2] < min(shape[:2])


def _orientation(page: Any) -> int:
    tag = page.tags.get(274)
    value = int(tag.value) if tag is not None else 1
    return value if 1 <= value <= 8 else 1


def _has_alpha(page: Any) -> bool:
    extra = tuple(page.extrasamples)
    if not extra:  # some writers leave the tag out
        return bool(page.photometric.name == "RGB" and page.samplesperpixel == 4)
    return int(extra[-1]) in _ALPHA


def _colormap(page: Any) -> NDArray[np.uint8] | None:
    if page.colormap is None:
        return None
    colors = np.asarray(page.colormap).T
    return np.asarray(colors >> 8 if colors.max(initial=0) > 255 else colors, np.uint8)
