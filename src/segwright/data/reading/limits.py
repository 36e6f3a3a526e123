"""The limit on the size of images."""

from __future__ import annotations

from pathlib import Path

from segwright.errors import UserError

MAX_PIXELS = 2**28
"""Larger images are refused (16384 x 16384): a small file can claim a size that exhausts the memory."""


def refuse_decompression_bomb(path: Path, width: int, height: int) -> None:
    """``UserError`` for an image of more than ``MAX_PIXELS`` pixels."""
    if width * height > MAX_PIXELS:
        raise UserError(
            f"{path}: header reports {width}x{height} pixels; expected at most {MAX_PIXELS:,} in all; remove the file"
        )
