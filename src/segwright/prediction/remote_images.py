"""Images at URLs: they are fetched shortly before they are read, and removed when they are done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from segwright.data.reading.remote_files import fetch
from segwright.errors import UserError
from segwright.parallel import map_in_threads
from segwright.prediction.inputs import InputImage

_THREADS = 8


def fetched(images: Iterable[InputImage]) -> Iterator[InputImage]:
    """The images, in order; those with a URL are fetched in threads, a few ahead.

    One that cannot be fetched has no file, so reading it fails with its own reason.
    """
    yield from map_in_threads(_fetched, images, threads=_THREADS)


def _fetched(image: InputImage) -> InputImage:
    if image.url is not None:
        with suppress(UserError, OSError):
            fetch(image.url, image.path)
    return image


def discard_copy(image: InputImage) -> None:
    """Remove the local copy of an image at a URL."""
    if image.url is not None:
        with suppress(OSError):
            image.path.unlink(missing_ok=True)
