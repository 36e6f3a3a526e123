"""Reading parts of a TIFF: only the tiles or strips of the file that the part needs are decoded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.tiff import (
    TiffImage,
    bands_are_last,
    check_pages,
    described_image,
    image_pages,
    tiff_errors,
)

_GEOREFERENCE = (33550, 33922, 34264, 34735, 34736, 34737)  # GeoTIFF: scale, tie points, transformation, keys
_CACHE_BYTES = 2**27

Tag = tuple[int, int, int, Any, bool]
"""A tag as ``tifffile.imwrite(extratags=...)`` takes it: code, type, count, value, write once."""


@dataclass(slots=True, eq=False)
class TiffBlocks:
    """An opened TIFF. ``layout`` describes it; its ``values`` are empty. ``size``: (height, width)."""

    path: Path
    pages: list[Any]
    layout: TiffImage
    size: tuple[int, int]
    cache: OrderedDict[tuple[int, int], NDArray[Any]] = field(default_factory=OrderedDict)
    cached_bytes: int = 0

    def read(self, rows: slice, columns: slice) -> TiffImage:
        """The part in these rows and columns, [h, w, bands] with the values as stored."""
        with tiff_errors(self.path):
            parts = [self._page_part(number, rows, columns) for number in range(len(self.pages))]
            return replace(self.layout, values=np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0])

    def _page_part(self, number: int, rows: slice, columns: slice) -> NDArray[Any]:
        page = self.pages[number]
        if page.keyframe.is_memmappable:
            return self._mapped_part(page, rows, columns)
        height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
        planes = samples if page.planarconfig == 2 else 1
        shape = (
            (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
        )
        down, across = -(-height // shape[0]), -(-width // shape[1])
        part = np.zeros((rows.stop - rows.start, columns.stop - columns.start, samples), page.dtype)
        for plane in range(planes):
            bands = slice(plane, plane + 1) if planes > 1 else slice(None)
            for i in range(rows.start // shape[0], -(-rows.stop // shape[0])):
                for j in range(columns.start // shape[1], -(-columns.stop // shape[1])):
                    segment = self._segment(number, (plane * down + i) * across + j)
                    if segment is not None:
                        _paste(
                            part[..., bands], segment, i * shape[0] - rows.start, j * shape[1] - columns.start
                        )
        return part

    def _segment(self, number: int, index: int) -> NDArray[Any] | None:
        """A decoded tile or strip [h, w, samples]; None where the file stores none, which means zeros."""
        key, page = (number, index), self.pages[number]
        if key in self.cache:
            self.cache.move_to_end(key)
            return self.cache[key]
        file, count = page.parent.filehandle, page.databytecounts[index]
        if not count:
            return None
        tables = (
            {"jpegtables": page.jpegtables, "jpegheader": page.keyframe.jpegheader} if _is_jpeg(page) else {}
        )
        decode = page.keyframe.decode  # this reads from the file, too, so it comes first
        file.seek(page.dataoffsets[index])
        segment = decode(file.read(count), index, **tables)[0]
        values: NDArray[Any] = np.asarray(segment)[0]
        self.cache[key] = values
        self.cached_bytes += values.nbytes
        while self.cached_bytes > _CACHE_BYTES and len(self.cache) > 1:
            self.cached_bytes -= self.cache.popitem(last=False)[1].nbytes
        return values

    def _mapped_part(self, page: Any, rows: slice, columns: slice) -> NDArray[Any]:
        """A part of an uncompressed page."""
        height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
        planar = page.planarconfig == 2 and samples > 1
        shape = (samples, height, width) if planar else (height, width, samples)
        dtype = np.dtype(page.parent.byteorder + page.dtype.char)
        values = np.memmap(self.path, dtype, "r", offset=page.dataoffsets[0], shape=shape)
        part = np.moveaxis(values[:, rows, columns], 0, 2) if planar else values[rows, columns]
        return np.array(part, page.dtype, order="C")  # a copy, so that the file is not kept in memory


@contextmanager
def opened_blocks(path: Path) -> Iterator[TiffBlocks | None]:
    """An opened TIFF of which parts can be read; None if only the whole image can be (rotated, a volume, ...).

    ``UserError`` for a damaged or truncated file, and for pages that do not form one image.
    """
    import tifffile

    with tiff_errors(path):
        file = tifffile.TiffFile(path)
    with file:
        with tiff_errors(path):
            blocks = _blocks(path, file)
        yield blocks


def georeference(page: Any) -> tuple[Tag, ...]:
    """The tags that say where on Earth the image lies, to be written into a TIFF of the same size."""
    tags = (page.tags.get(code) for code in _GEOREFERENCE)
    return tuple((tag.code, int(tag.dtype), tag.count, tag.value, True) for tag in tags if tag is not None)


def _blocks(path: Path, file: Any) -> TiffBlocks | None:
    pages = image_pages(file)
    first = pages[0]
    check_pages(path, pages)
    if first.dtype is None or first.imagedepth > 1 or bands_are_last(file, pages):
        return None
    layout = described_image(np.empty((0, 0, first.samplesperpixel), first.dtype), pages)
    if layout.orientation != 1:
        return None
    return TiffBlocks(path, pages, layout, (int(first.imagelength), int(first.imagewidth)))


def _is_jpeg(page: Any) -> bool:
    return page.keyframe.compression.name in ("JPEG", "OJPEG", "ALT_JPEG", "JPEG_LOSSY")


def _paste(target: NDArray[Any], source: NDArray[Any], top: int, left: int) -> None:
    """Copy ``source`` to (top, left) of ``target``, cut to what lies inside of it."""
    y, x = max(top, 0), max(left, 0)
    inside = source[y - top :, x - left :][: max(0, target.shape[0] - y), : max(0, target.shape[1] - x)]
    target[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
