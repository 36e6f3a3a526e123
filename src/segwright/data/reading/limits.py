"""The limit on the size of images."""

from __future__ import annotations

from pathlib import Path

from segwright.errors import UserError

MAX_PIXELS = 2**28
"""Larger images are refused (16384 x 16384): a small file can claim a size that exhausts the memory."""


def refuse_decompression_bomb(path: Path, width: int, height: int, limit: int | None = None) -> None:
    """``UserError`` for an image of more than ``limit`` pixels, by default ``MAX_PIXELS``."""
    limit = MAX_PIXELS if limit is None else limit
    if width * height > limit:
        raise UserError(
            f"{path}: header reports {width}x{height} pixels; expected at most {limit:,} in all; remove the file, or "
            "predict it with --windows and a higher --max-pixels"
        )
