"""The image files of an export, found by the names, paths and addresses that tools write."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlparse

from segwright.data.exports.splits import split_of_path
from segwright.data.reading.file_lists import IMAGE_EXTENSIONS, has_hidden_part, list_images
from segwright.errors import UserError


def images_in(folder: Path) -> list[Path]:
    """The images directly in a folder, sorted; none if it has none."""
    try:
        return list_images(folder)
    except UserError:
        return []


class ImageFiles:
    """The image files under a folder, found by the path, address or name that an export states.

    A name may be a path of another machine, a Windows path, or the address of a server with the path in its query.
    The longest part of the path that occurs decides; ``UserError`` if several files fit equally.
    """

    def __init__(self, root: Path, accept: Callable[[Path], bool] = lambda path: True) -> None:
        self.root = root
        images = (p for p in root.rglob("*") if p.suffix.lower() in IMAGE_EXTENSIONS)
        self.paths = sorted(p for p in images if not has_hidden_part(p, root) and accept(p))
        self._by_name: dict[str, list[Path]] = {}
        for path in self.paths:
            self._by_name.setdefault(path.name.lower(), []).append(path)

    def _contains(self, path: Path) -> bool:
        """Whether a path stays in the export; links are followed: they are no text of a stranger."""
        return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(self.root))

    def find(
        self,
        names: str | Sequence[str],
        near: Path | None = None,
        *,
        strip: str | None = None,
        split: str | None = None,
    ) -> Path | None:
        """The image of this name, or of the first of several names that occurs; None if none does.

        ``near``: a folder whose images win, as those in folders of ``split`` do. ``strip``: a pattern removed from file
        names.
        """
        several = (names,) if isinstance(names, str) else names
        paths = (self._find(text, near, strip, split) for name in several for text in image_paths(name))
        return next((path for path in paths if path is not None), None)

    def _find(self, text: str, near: Path | None, strip: str | None, split: str | None) -> Path | None:
        for folder in (near, self.root):
            if folder is not None and text and self._contains(folder / text) and (folder / text).is_file():
                return folder / text
        parts = [part for part in PurePosixPath(text).parts if part not in ("/", "..", ".")]
        if not parts:
            return None
        fitting = self._by_name.get(parts[-1].lower(), [])
        if not fitting and strip:
            original = re.sub(strip, "", parts[-1])
            fitting = self._by_name.get(original.lower()) or self._by_upload_name.get(
                _upload_name(original), []
            )
        if near is not None and len(fitting) > 1:
            fitting = [path for path in fitting if path.is_relative_to(near)] or fitting
        if split is not None and len(fitting) > 1:
            fitting = [path for path in fitting if split_of_path(path, self.root) == split] or fitting
        return _longest_match(fitting, parts) if len(fitting) > 1 else next(iter(fitting), None)

    @cached_property
    def _by_upload_name(self) -> dict[str, list[Path]]:
        """The images by the names that a server gives to uploaded files."""
        images: dict[str, list[Path]] = {}
        for path in self.paths:
            images.setdefault(_upload_name(path.name), []).append(path)
        return images

    def require(
        self,
        names: str | Sequence[str],
        where: object,
        near: Path | None = None,
        *,
        strip: str | None = None,
        split: str | None = None,
    ) -> Path:
        """``find``; ``UserError`` with ``where`` and the first name if there is no such image, or if several fit."""
        path = self.find(names, near, strip=strip, split=split)
        if path is None:
            name = names if isinstance(names, str) else names[0]
            same = self._by_name.get(PurePosixPath(image_paths(name)[0]).name.lower(), ())
            problem = "no such file; expected each annotated image; add the image, or remove its annotation"
            if len(same) > 1:
                problem = f"{len(same)} such files, {same[0]} and others; expected one; write its folder into the name"
            raise UserError(f"{where}: names the image {name!r}, and {self.root} contains {problem}")
        return path

    def with_stem(self, stem: str, near: Path) -> Path | None:
        """The image in a folder whose name without extension is ``stem``."""
        paths = (near / f"{stem}{extension}" for extension in IMAGE_EXTENSIONS)
        path = next((path for path in paths if path.is_file()), None)
        others = (p for p in self.paths if p.parent == near and p.stem == stem)
        return path or next(others, None)


def _upload_name(name: str) -> str:
    """The name with "_" for blanks, and without signs other than "-", "_" and "."."""
    return re.sub(r"[^-\w.]", "", name.replace(" ", "_"))


def _longest_match(paths: Sequence[Path], parts: Sequence[str]) -> Path | None:
    def common(path: Path) -> int:
        pairs = zip(reversed(path.parts), reversed(parts), strict=False)
        return next((i for i, (a, b) in enumerate(pairs) if a.lower() != b.lower()), len(parts))

    best = max(common(path) for path in paths)
    fitting = [path for path in paths if common(path) == best]
    return fitting[0] if len(fitting) == 1 else None


def image_paths(name: str) -> list[str]:
    """The paths that the name of an image can stand for: with slashes, without the server of an address.

    The first one reads an address as a browser does; the second one keeps "#", "?" and "%" as parts of the name.
    """
    text = name.replace("\\", "/")
    paths = [text]
    if "://" in text or text.startswith("/data/") or "?d=" in text:
        address = urlparse(text)
        query = dict(part.partition("=")[::2] for part in address.query.split("&"))
        paths = [unquote(query.get("d", address.path)), re.sub("^[a-z][a-z0-9+.-]*://[^/]*", "", text)]
    return [re.sub("^[A-Za-z]:/", "/", path) for path in dict.fromkeys(paths)]
