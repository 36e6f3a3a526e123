"""Files of an export: what shows a format, JSON, XML, CSV and text, fields of rows, colors."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

import numpy as np

from segwright.data.reading.file_lists import has_hidden_part, is_hidden
from segwright.errors import UserError
from segwright.files import parse_json

Color = tuple[int, int, int]
Item = TypeVar("Item")
Result = TypeVar("Result")

_START = 1 << 16  # the characters of a file that recognition looks at


@dataclass(frozen=True, slots=True)
class FormatFiles:
    """The files that show a format.

    ``patterns``: glob patterns. ``keys``: alternatives, each some keys of JSON (or columns of CSV) that occur at the
    start of a file. ``accept``: a further condition.
    ``shows``: what follows the name of the first file in the evidence, or with ``is_counted`` the number of files.
    ``missing``: what to say if there are none.
    """

    patterns: tuple[str, ...]
    keys: tuple[str, ...] = ()
    accept: Callable[[Path], bool] = lambda path: True
    shows: str = ""
    is_counted: bool = False
    missing: str = ""

    def find(self, root: Path) -> list[Path]:
        """The files in a folder, sorted, without hidden ones."""
        return [
            path for path in glob_visible(root, *self.patterns) if self._has_keys(path) and self.accept(path)
        ]

    def _has_keys(self, path: Path) -> bool:
        start, quote = _start(path) if self.keys else "", "" if path.suffix == ".csv" else '"'
        return not self.keys or any(
            all(f"{quote}{key}{quote}" in start for key in keys.split()) for keys in self.keys
        )

    def evidence(self, root: Path) -> str | None:
        """For ``recognize``: what in a folder shows the format; None if nothing does."""
        files = self.find(root)
        if not files:
            return None
        first = files[0].relative_to(root)
        return f"{len(files)} {self.shows}, such as {first}" if self.is_counted else f"{first} {self.shows}"

    def require(self, root: Path) -> list[Path]:
        """The files in a folder; ``UserError`` if there are none."""
        return require_any(self.find(root), root, self.missing)


def require_any(items: list[Item], root: Path, missing: str) -> list[Item]:
    """The files, folders or images of a format; ``UserError`` with ``missing`` if there are none."""
    if not items:
        raise UserError(f"{root}: {missing}; check the folder")
    return items


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


def read_xml(path: Path, tool: str) -> ElementTree.Element:
    """The root element of an XML file; ``UserError`` if it is cut or no XML."""
    try:
        return ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise UserError(
            f"{path}: not XML ({error}); expected a complete file; export it again from {tool}"
        ) from None


def read_csv(path: Path) -> csv.DictReader[str]:
    """The rows of a CSV file with a header; blanks after commas do not count."""
    return csv.DictReader(io.StringIO(read_text(path)), skipinitialspace=True)


def read_names(path: Path) -> list[str]:
    """The lines of a list of classes, without blank ones."""
    return [line.strip() for line in read_text(path).split("\n") if line.strip()]


def read_text(path: Path) -> str:
    """A text file in UTF-8; ``UserError`` if it is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: not text that can be read ({error}); expected UTF-8; export it again"
        ) from None


def starts_with(path: Path, *words: str) -> bool:
    """Whether the first 65,536 bytes of a text file contain all of the words."""
    start = _start(path)
    return all(word in start for word in words)


def _start(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_START).decode("utf-8", "replace")
    except OSError:
        return ""


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


def parse(row: Any, read: Callable[[Any], Result], where: object, tool: str) -> Result:
    """``read(row)``; ``UserError`` names ``where`` if a field is missing or has another type."""
    try:
        return read(row)
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"has no {error}" if isinstance(error, KeyError) else f"is not as expected ({error})"
        raise UserError(f"{where} {reason}; expected a file as {tool} writes it; export it again") from None


def stated_size(
    row: Mapping[str, Any], height: str = "height", width: str = "width"
) -> tuple[int, int] | None:
    """(height, width) that a row states for its image; None if it states none."""
    size = [value for key in (height, width) if isinstance(value := row.get(key), int) and value > 0]
    return (size[0], size[1]) if len(size) == 2 else None


def color_from_hex(text: Any) -> Color | None:
    """(red, green, blue) of "#rrggbb"; None for anything else."""
    if not isinstance(text, str) or not re.fullmatch("#[0-9a-fA-F]{6}", text):
        return None
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def require_color(text: Any) -> Color:
    """(red, green, blue) of "#rrggbb"; ``ValueError`` for anything else."""
    color = color_from_hex(text)
    if color is None:
        raise ValueError(f"{text!r} is no color such as #1f77b4")
    return color


def color_number(color: Color) -> int:
    """65536 R + 256 G + B, as ``pack_rgb`` numbers the colors of a map."""
    return color[0] << 16 | color[1] << 8 | color[2]
