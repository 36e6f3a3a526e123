"""Images at URLs: they are fetched shortly before they are read, and removed when they are done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from segwright.data.reading.file_lists import IMAGE_EXTENSIONS
from segwright.data.reading.remote_files import cache_folder, digest, fetch, find_remote
from segwright.errors import UserError
from segwright.parallel import map_in_threads
from segwright.prediction.inputs import InputImage

_THREADS = 8


def remote_images(source: str) -> list[tuple[str, Path, Path]]:
    """(URL, local copy to be, folder that its name is relative to) of every image of a URL, a folder or a glob."""
    urls = find_remote(source, IMAGE_EXTENSIONS)
    start = source.split("*", maxsplit=1)[0].split("?", maxsplit=1)[0].split("[", maxsplit=1)[0]
    base = start if start.endswith("/") else start.rsplit("/", 1)[0] + "/"
    if urls != [source] and start == source:
        base = source.rstrip("/") + "/"
    base_path = _path(base)
    folder = cache_folder("images") / digest(base)
    return [(url, folder / _path(url).removeprefix(base_path).lstrip("/"), folder) for url in urls]


def _path(url: str) -> str:
    """Host and path, with single slashes: file systems write one URL in several ways."""
    parts = urlsplit(url)
    return "/".join(part for part in (parts.netloc + "/" + parts.path).split("/") if part) + (
        "/" if url.endswith("/") else ""
    )


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
