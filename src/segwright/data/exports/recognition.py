"""Which annotation tool wrote a folder: every format looks for its own files."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from segwright.data.exports.entries import Export
from segwright.data.exports.files_of_export import is_pickle
from segwright.data.exports.folder_pairs import folder_pairs
from segwright.data.exports.splits import standard_split
from segwright.data.reading.file_lists import IMAGE_EXTENSIONS, has_hidden_part, is_hidden
from segwright.errors import UserError
from segwright.files import missing_folder

_NESTED = 4
_BESIDE_EXPORTS = (".zip", ".tar", ".gz", ".md")


@runtime_checkable
class ExportFormat(Protocol):
    """The module of a format."""

    NAME: str
    TITLE: str
    SPECIFIC: bool
    """Whether the format has files of its own; a format of plain folders is considered only if no other fits."""

    def recognize(self, root: Path) -> str | None:
        """What in ``root`` shows that it has this format; None if nothing does."""

    def read(self, root: Path, split: str | None) -> Export:
        """The images of ``split`` if the format declares splits and this is one of them, else all images."""


@dataclass(frozen=True, slots=True)
class Recognized:
    """A format that a folder may have, and why."""

    name: str
    title: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.title} ({self.evidence})"


@cache
def _formats() -> dict[str, ExportFormat]:
    package = importlib.import_module("segwright.data.exports")
    names = sorted(info.name for info in pkgutil.iter_modules(package.__path__))
    modules = (importlib.import_module(f"segwright.data.exports.{name}") for name in names)
    return {module.NAME: cast(ExportFormat, module) for module in modules if hasattr(module, "NAME")}


def format_names() -> list[str]:
    """The names of all formats, for ``--from``."""
    return sorted(_formats())


def export_format(name: str) -> ExportFormat:
    """The format of this name; ``UserError`` lists the names if there is none."""
    formats = _formats()
    if name not in formats:
        raise UserError(f"unknown format {name!r}; expected one of {', '.join(sorted(formats))}")
    return formats[name]


def candidates(root: Path) -> list[Recognized]:
    """All formats that a folder may have; formats of plain folders only if no specific one fits."""
    if not root.is_dir():
        raise missing_folder(root, "expected the folder that an annotation tool exported; check the path")
    for specific in (True, False):
        fitting = [
            Recognized(module.NAME, module.TITLE, evidence)
            for module in _formats().values()
            if module.SPECIFIC is specific and (evidence := module.recognize(root)) is not None
        ]
        if fitting:
            return fitting
    return []


def export_root(root: Path) -> Path:
    """The folder in which an export begins: below folders that hold nothing but one folder, as archives unpack.

    A folder in which a specific format is recognized, and one that holds a folder of a split, are left alone.
    """
    for _ in range(_NESTED):
        entries = [path for path in root.iterdir() if not is_hidden(path.name)] if root.is_dir() else []
        others = [path for path in entries if path.suffix.lower() not in _BESIDE_EXPORTS]
        if len(others) != 1 or not others[0].is_dir() or standard_split(others[0].name) is not None:
            return root
        if any(module.SPECIFIC and module.recognize(root) is not None for module in _formats().values()):
            return root
        root = others[0]
    return root


def _content(root: Path) -> str:
    """What a folder has, as a part of a sentence, if it is clear what is missing."""
    suffixes = {
        path.suffix.lower() for path in root.rglob("*") if not has_hidden_part(path, root) and path.is_file()
    }
    if not suffixes:
        return ": it has no file"
    if arrays := sorted(filter(is_pickle, root.rglob("*_seg.npy"))):
        return (
            f": {arrays[0].relative_to(root)} is a NumPy pickle, which could run code and is never read: save the "
            "masks as PNG or TIFF in Cellpose (X_cp_masks.png, X_masks.tif)"
        )
    images = suffixes & set(IMAGE_EXTENSIONS)
    if images and any(pair.images == root for pair in folder_pairs(root.parent, depth=0)):
        return f": it has the images of {root.parent}; give that folder, which has their masks as well"
    if images and not suffixes - images - {".txt", ".md"}:
        return (
            f": it has {' '.join(sorted(images))} files, and neither annotations nor masks named like images"
        )
    return "" if images else ": it has no image"


def recognize(root: Path, prefer: Sequence[str] = ()) -> Recognized:
    """The format of a folder. ``prefer``: names that win if several formats fit.

    ``UserError`` if none fits, or several: then it lists them with what was seen of each.
    """
    fitting = candidates(root)
    preferred = [format for format in fitting if format.name in prefer]
    if len(fitting) == 1 or preferred:
        return (preferred or fitting)[0]
    if not fitting:
        raise UserError(
            f"{root}: the layout is not recognized{_content(root)}; expected an export of an annotation tool "
            "(docs/formats.md shows each); check the folder, or name the format with --from: "
            f"{', '.join(format_names())}"
        )
    listed = "; ".join(f"{format.name}: {format.evidence}" for format in fitting)
    raise UserError(f"{root}: fits several formats ({listed}); name one with --from (or data.format)")
