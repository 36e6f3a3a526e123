"""The images to predict and the names of their outputs, settled and checked before the first image is computed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from segwright.data.reading.file_lists import IMAGE_EXTENSIONS, is_hidden, list_images, read_lines
from segwright.data.reading.remote_files import cache_folder, digest, find_remote, is_url
from segwright.errors import UserError


@dataclass(frozen=True, slots=True)
class InputImage:
    """An image to predict.

    ``name`` is the name of its outputs: without extension, and with the folders below the source, joined by "/".
    ``id``: its id in official files. ``url``: where an image comes from that is fetched to ``path`` before it is read.
    """

    path: Path
    name: str
    id: Any = None
    url: str | None = None


def find_images(sources: Iterable[str]) -> list[Path]:
    """The image files of paths, folders (with their subfolders) and globs, each once.

    ``UserError`` for a source without an image.
    """
    return list(_folder_of_images(sources, None))


def named_images(sources: Iterable[str], out: Path, kinds: Sequence[str]) -> list[InputImage]:
    """The images of ``sources``, each with a name of its own for its outputs ``out/KIND/NAME.png``.

    The name is the path below the source. If two images would have one name, all names start at the folder that
    contains all images; if two still differ only in their extensions, these become a part of the name. ``UserError``
    if two images have one name all the same, or if an output would replace an image.
    """
    url_of: dict[Path, str] = {}
    folder_of = _folder_of_images(sources, out, url_of)
    paths = list(folder_of)
    names = _names(paths, lambda path: folder_of[path])
    if _repeated(names):
        common = _common_folder(paths)
        names = _names(paths, lambda _: common)
    if repeated := _repeated(names):
        first, second, *_ = (path for path, name in zip(paths, names, strict=True) if name == repeated[0])
        raise UserError(f"{first} and {second}: both outputs would be called {repeated[0]}; rename an image")
    _check_apart(paths, out, kinds)
    return [InputImage(path, name, url=url_of.get(path)) for path, name in zip(paths, names, strict=True)]


def _folder_of_images(
    sources: Iterable[str], out: Path | None, url_of: dict[Path, str] | None = None
) -> dict[Path, Path]:
    """Image -> the folder that its name is relative to, each file once.

    ``url_of`` receives the URLs of remote images by the paths that their copies will have; None refuses URLs.
    """
    folder_of: dict[Path, Path] = {}
    known: set[str] = set()
    for source in _without_lists(sources):
        if is_url(source):
            if url_of is None:
                raise UserError(f"{source}: a URL; expected local images; copy them first")
            for url, copy, folder in _remote_images(source):
                url_of[copy] = url
                folder_of[copy] = folder
            continue
        exists = Path(source).exists()
        matches = (
            [Path(source)]
            if exists
            else [
                Path(match) for match in sorted(glob(source, recursive=True)) if not _is_hidden(match, source)
            ]
        )
        pairs = [pair for match in matches for pair in _images_of(match, out)]
        if not pairs:
            problem = "contains no image" if exists or _is_pattern(source) else "does not exist"
            raise UserError(
                f"{source}: {problem}; expected an image, a folder of images or a glob; check the path"
            )
        for image, folder in pairs:
            if (absolute := os.path.abspath(image)) not in known:
                known.add(absolute)
                folder_of[image] = folder
    return folder_of


def _remote_images(source: str) -> list[tuple[str, Path, Path]]:
    """(URL, local copy to be, folder that its name is relative to) of every image of a URL, a folder or a glob."""
    urls = find_remote(source, IMAGE_EXTENSIONS)
    start = source.split("*", maxsplit=1)[0].split("?", maxsplit=1)[0].split("[", maxsplit=1)[0]
    base = start if start.endswith("/") else start.rsplit("/", 1)[0] + "/"
    if urls != [source] and start == source:
        base = source.rstrip("/") + "/"
    base_path = _host_and_path(base)
    folder = cache_folder("images") / digest(base)
    return [(url, folder / _host_and_path(url).removeprefix(base_path).lstrip("/"), folder) for url in urls]


def _host_and_path(url: str) -> str:
    """Host and path, with single slashes: file systems write one URL in several ways."""
    parts = urlsplit(url)
    return "/".join(part for part in (parts.netloc + "/" + parts.path).split("/") if part) + (
        "/" if url.endswith("/") else ""
    )


def _without_lists(sources: Iterable[str]) -> Iterator[str]:
    """The sources, with the lines of a list file FILE.txt in its place; relative paths start at the file."""
    for source in sources:
        path = Path(source)
        if path.suffix.lower() != ".txt" or not path.is_file():
            yield source
            continue
        for line in read_lines(path):
            yield line if is_url(line) else str(path.parent / line)


def _is_pattern(source: str) -> bool:
    return any(character in source for character in "*?[")


def _is_hidden(match: str, pattern: str) -> bool:
    """Whether a match lies in a hidden or system folder that the pattern does not name."""
    named = Path(pattern).parts
    return any(is_hidden(part) and part not in (*named, "..") for part in Path(match).parts)


def _images_of(path: Path, out: Path | None) -> list[tuple[Path, Path]]:
    """(image, folder) of a file, or of the images of a folder and of its subfolders."""
    if not path.is_dir():
        return [(path, path.parent)]
    try:
        images = list_images(path, recursive=True)
    except UserError:  # no image
        return []
    return [(image, path) for image in images if not _is_output(image, path, out)]


def _is_output(image: Path, source: Path, out: Path | None) -> bool:
    """Whether ``out`` lies inside of the folder ``source``, and the image inside of ``out``."""
    if out is None:
        return False
    folder = out.absolute()
    return source.absolute() in folder.parents and folder in image.absolute().parents


def _names(paths: Sequence[Path], folder_of: Callable[[Path], Path]) -> list[str]:
    """The path of each image relative to its folder, without extension unless only that makes it unique."""
    relative = [Path(os.path.relpath(path, folder_of(path))) for path in paths]
    count = Counter(path.with_suffix("") for path in relative)
    return [
        (
            path.with_suffix("")
            if count[path.with_suffix("")] == 1
            else path.with_name(f"{path.stem}_{path.suffix[1:]}")
        ).as_posix()
        for path in relative
    ]


def _repeated(names: Iterable[str]) -> list[str]:
    # Names that differ only in case are one file on Windows and macOS.
    return [name for name, count in Counter(map(os.path.normcase, names)).items() if count > 1]


def _common_folder(paths: Sequence[Path]) -> Path:
    try:
        return Path(os.path.commonpath([path.absolute().parent for path in paths]))
    except ValueError:  # several drives
        raise UserError(
            "the images are on several drives and have equal names; predict them one drive at a time"
        ) from None


def _check_apart(paths: Sequence[Path], out: Path, kinds: Sequence[str]) -> None:
    """``UserError`` if an image lies in a folder of outputs."""
    folders = [Path(os.path.realpath(out / kind)) for kind in kinds]
    for path in paths:
        parents = Path(os.path.realpath(path)).parents  # resolve() raises for a link to itself
        for folder in folders:
            if folder in parents:
                raise UserError(
                    f"{path}: lies in {folder}, where outputs are written; choose another --out, or name the images "
                    "without the outputs of an earlier run"
                )
