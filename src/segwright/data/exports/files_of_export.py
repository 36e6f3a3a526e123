"""Files of an export: JSON and text, image files found by the names that tools write, classes with colors."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np

from segwright.data.reading.file_lists import IMAGE_EXTENSIONS, has_hidden_part, is_hidden
from segwright.errors import UserError
from segwright.files import parse_json
from segwright.wording import count_of

_START = 1 << 16  # the characters of a file that recognition looks at


def read_json(path: Path, tool: str) -> Any:
    """The content of a JSON file; ``UserError`` if it is cut or no JSON."""
    try:
        return parse_json(path.read_bytes())
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); expected JSON of {tool}; copy it again"
        ) from None
    except (ValueError, RecursionError) as error:  # bad JSON, bad UTF-8
        raise UserError(
            f"{path}: not JSON ({error}); expected a complete file; export it again from {tool}"
        ) from None


def read_json_lines(path: Path, tool: str) -> list[Any]:
    """The values of a file with one JSON value per line; ``UserError`` names the line that is cut or no JSON."""
    values = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            try:
                values.append(parse_json(line.encode()))
            except (ValueError, RecursionError) as error:
                raise UserError(
                    f"{path}: line {number} is not JSON ({error}); expected one complete value per line; export it "
                    f"again from {tool}"
                ) from None
    return values


def read_text(path: Path) -> str:
    """A text file in UTF-8; ``UserError`` if it is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: not text that can be read ({error}); expected UTF-8; export it again"
        ) from None


def starts_with(path: Path, *words: str) -> bool:
    """Whether the first part of a text file contains all of the words."""
    try:
        with path.open("rb") as file:
            text = file.read(_START).decode("utf-8", "replace")
    except OSError:
        return False
    return all(word in text for word in words)


def is_pickle(path: Path) -> bool:
    """Whether a file is an array of Python objects, as Cellpose writes X_seg.npy: loading it could run code."""
    if not path.name.endswith("_seg.npy"):
        return False
    try:
        np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError):
        return True
    return False


def glob_visible(root: Path, *patterns: str) -> list[Path]:
    """The files that match one of the patterns, sorted, without hidden ones."""
    files = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    return sorted(path for path in files if not has_hidden_part(path, root))


def folders(root: Path) -> list[Path]:
    """The visible folders directly in ``root``, sorted."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not is_hidden(path.name))


def parse(row: Any, read: Callable[[Any], Any], where: str, tool: str) -> Any:
    """``read(row)``; ``UserError`` names ``where`` if a field is missing or has another type."""
    try:
        return read(row)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"has no {error}" if isinstance(error, KeyError) else f"is not as expected ({error})"
        raise UserError(f"{where} {reason}; expected a file as {tool} writes it; export it again") from None


def color_from_hex(text: Any) -> tuple[int, int, int] | None:
    """(red, green, blue) of "#rrggbb"; None for anything else."""
    if not isinstance(text, str) or not re.fullmatch("#[0-9a-fA-F]{6}", text):
        return None
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


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

    def find(self, name: str, near: Path | None = None, *, strip: str | None = None) -> Path | None:
        """The image of this name; ``near``: a folder whose images win. ``strip``: a pattern removed from file names."""
        found = (self._find(text, near, strip) for text in image_paths(name))
        return next((path for path in found if path is not None), None)

    def _find(self, text: str, near: Path | None, strip: str | None) -> Path | None:
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
        return _longest_match(fitting, parts) if len(fitting) > 1 else next(iter(fitting), None)

    @cached_property
    def _by_upload_name(self) -> dict[str, list[Path]]:
        """The images by the names that a server gives to uploaded files."""
        images: dict[str, list[Path]] = {}
        for path in self.paths:
            images.setdefault(_upload_name(path.name), []).append(path)
        return images

    def require(self, name: str, where: str, near: Path | None = None, *, strip: str | None = None) -> Path:
        """The image of this name; ``UserError`` with ``where`` if there is none."""
        path = self.find(name, near, strip=strip)
        if path is None:
            raise UserError(
                f"{where}: names the image {name!r}, and {self.root} contains no such file; expected each annotated "
                "image; add the image, or remove its annotation"
            )
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


def outside_notes(rows: Iterable[tuple[str, Sequence[float], tuple[int, int]]]) -> list[str]:
    """One warning for polygons that lie partly outside of their image; of each: where, [x, y, ...], (height, width)."""
    clipped = [
        where
        for where, polygon, (height, width) in rows
        if min(polygon) < -1 or max(polygon[::2]) > width + 1 or max(polygon[1::2]) > height + 1
    ]
    if not clipped:
        return []
    return [f"{clipped[0]}: reaches beyond its image ({count_of(len(clipped), 'such outline')}); clipped"]


def ignored_note(source: Path, counts: Mapping[str, int]) -> list[str]:
    """A warning for annotations without area, which are left out: how many of each kind."""
    listed = ", ".join(
        f"{count} {kind}" if kind.endswith("s") else count_of(count, kind.replace("_", " "))
        for kind, count in sorted(counts.items())
    )
    return [f"{source}: {listed} left out; expected polygons or masks"] if counts else []


def flat(points: Iterable[Sequence[float]]) -> list[float]:
    """[x, y, x, y, ...] of points (x, y)."""
    return [float(value) for x, y in points for value in (x, y)]


def pairs(values: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """(first, second), (third, fourth), ... of a sequence."""
    return zip(values[::2], values[1::2], strict=True)
