"""TIFF files of any size, written tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.blocks import tiff_georeference
from segwright.data.reading.tiff_blocks import Tag
from segwright.files import atomic_outputs

TILE = 512
_CLASSIC_BYTES = 2**32 - 2**25  # a classic TIFF has offsets of 32 bits


def write_tiled_tiff(
    path: Path,
    read: Callable[[slice, slice], NDArray[Any]],
    size: tuple[int, int],
    *,
    tags: tuple[Tag, ...] = (),
) -> None:
    """Write an image of ``size`` (height, width) as a TIFF in compressed tiles; BigTIFF if it might exceed 4 GB.

    ``read(rows, columns)`` gives a part of the image: [h, w] or RGB [h, w, 3]. ``tags``: further tags, such as a
    georeference.
    """
    import tifffile

    first = read(slice(0, 1), slice(0, 1))
    shape = (*size, *first.shape[2:])
    tifffile.imwrite(
        path,
        _tiles(read, size),
        shape=shape,
        dtype=first.dtype,
        tile=(TILE, TILE),
        photometric="rgb" if first.ndim == 3 else "minisblack",
        compression="zlib",
        bigtiff=int(np.prod(shape)) * first.itemsize > _CLASSIC_BYTES,
        extratags=tags,
        metadata=None,
        maxworkers=1,
    )


def write_georeferenced(raw: NDArray[Any], *, like: Path, target: Path) -> None:
    """Write a map [H, W] or [H, W, 3] as a TIFF with the georeference of the image ``like``; nothing if it has none."""
    if tags := tiff_georeference(like):
        with atomic_outputs((target,), force=True) as (part,):
            size = (raw.shape[0], raw.shape[1])
            write_tiled_tiff(part, lambda rows, columns: raw[rows, columns], size, tags=tags)


def _tiles(read: Callable[[slice, slice], NDArray[Any]], size: tuple[int, int]) -> Iterator[NDArray[Any]]:
    """The tiles, row by row; those at the right and at the bottom are filled up with zeros."""
    height, width = size
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            part = read(slice(top, min(top + TILE, height)), slice(left, min(left + TILE, width)))
            tile = np.zeros((TILE, TILE, *part.shape[2:]), part.dtype)
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile
