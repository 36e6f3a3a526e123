"""The limit on the size of images."""

from __future__ import annotations

from pathlib import Path

from segwright.errors import UserError

MAX_PIXELS = 2**28
"""Larger images are refused (16384 x 16384): a small file can claim a size that exhausts the memory."""
_BYTES_PER_PIXEL = 16
_RATIO = 100


def refuse_decompression_bomb(path: Path, width: int, height: int, limit: int | None = None) -> None:
    """``UserError`` for an image of more than ``limit`` pixels, by default ``MAX_PIXELS``."""
    limit = MAX_PIXELS if limit is None else limit
    if width * height > limit:
        raise UserError(
            f"{path}: header reports {width}x{height} pixels; expected at most {limit:,} in all; remove the file, or "
            "predict it with --windows and a higher --max-pixels"
        )


def refuse_huge_values(path: Path, size: int, limit: int | None = None) -> None:
    """``UserError`` for a file whose values take ``size`` bytes, far more than a file of its length stands for.

    Values of up to 16 bytes for each of ``limit`` pixels, by default ``MAX_PIXELS``, pass, and so do those that are at
    most 100 times as long as the file.
    """
    limit = MAX_PIXELS if limit is None else limit
    length = path.stat().st_size
    if size > max(limit * _BYTES_PER_PIXEL, length * _RATIO):
        raise UserError(
            f"{path}: {size / 2**30:.1f} GiB of values in a file of {length:,} bytes; expected at most "
            f"{limit * _BYTES_PER_PIXEL / 2**30:.1f} GiB; remove the file, or save it uncompressed"
        )
