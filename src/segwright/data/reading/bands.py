"""Images with other bands than expected: the error, whose remedy depends on who reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from segwright.errors import UserError
from segwright.wording import count_of

SET_BANDS = "; set data.bands"
"""Where the remedy begins in the message of ``UnexpectedBands``."""


class UnexpectedBands(UserError):
    """An image with another number of bands or another depth than expected; the remedy is a setting of the dataset."""


@contextmanager
def images_for_model(bands: int | None) -> Iterator[None]:
    """Where a model reads images, whose bands are settled: ``UserError`` with that remedy for other images.

    ``bands``: those of the model, None for 8-bit RGB.
    """
    try:
        yield
    except UnexpectedBands as error:
        kind = "8-bit RGB images" if bands is None else f"images of {count_of(bands, 'band')}"
        found = str(error).split(SET_BANDS, 1)[0]
        raise UserError(f"{found}; the model takes {kind}; convert the image") from None
