"""Lists of files: compact in memory, found in folders, matched with each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from segwright.errors import UserError

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".npy")


class Strings(Sequence[str]):
    """Immutable texts in one buffer.

    Worker processes share the memory of their parent until it is written to, and even reading a Python object
    writes to it (its reference count). A million texts here are two arrays, which nobody ever copies.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        # surrogateescape: the bytes of a file name need not be valid UTF-8.
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        self._ends = np.cumsum([0, *(len(text) for text in encoded)], dtype=np.int64)
        self._bytes = np.frombuffer(b"".join(encoded), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Strings: ...
    def __getitem__(self, index: int | slice) -> str | Strings:
        if isinstance(index, slice):
            return Strings(self[i] for i in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        text = self._bytes[self._ends[index] : self._ends[index + 1]].tobytes()
        return text.decode("utf-8", "surrogateescape")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


class Paths(Sequence[Path]):
    """Immutable paths in one buffer, for the same reason."""

    def __init__(self, paths: Iterable[Path | str]) -> None:
        self._texts = Strings(str(path) for path in paths)

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> Paths: ...
    def __getitem__(self, index: int | slice) -> Path | Paths:
        return Paths(self._texts[index]) if isinstance(index, slice) else Path(self._texts[index])


def images_in(folder: Path, *, deep: bool = False, endings: Sequence[str] = IMAGE_ENDINGS) -> list[Path]:
    """The image files of a folder in the order of their names, with ``deep`` of its folders, too.

    ``UserError`` if there is no such folder or no image in it. Folders that link to themselves are read once.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected one with images; check --data and the split")
    found = sorted(
        path for path in (_walk(folder) if deep else _entries(folder)) if path.suffix.lower() in endings
    )
    if not found:
        kinds = " ".join(endings)
        raise UserError(f"{folder}: holds no images; expected files that end in {kinds}")
    return found


def _entries(folder: Path) -> Iterator[Path]:
    # A hidden file (._photo.jpg of a foreign file system) is never an image.
    return (Path(e.path) for e in os.scandir(folder) if not e.name.startswith(".") and not e.is_dir())


def _walk(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a symbolic link back to a folder above
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(place, name) for name in names if not name.startswith("."))


def partners(
    images: Sequence[Path], partner_of: Callable[[Path], Path], *, kind: str = "map"
) -> tuple[Path, ...]:
    """The file that belongs to each image; ``UserError`` names the first one missing, or two images of one."""
    found = tuple(partner_of(image) for image in images)
    missing = [i for i, path in enumerate(found) if not path.is_file()]
    if missing:
        first = missing[0]
        raise UserError(
            f"{found[first]}: no such file, as for {len(missing)} of {len(found)} images; expected one {kind} for "
            f"each image ({images[first].name}); add the {kind} or remove the image"
        )
    owner: dict[Path, Path] = {}
    for image, path in zip(images, found, strict=True):
        if owner.setdefault(path, image) != image:
            raise UserError(
                f"{image}: has the same {kind} {path.name} as {owner[path].name}; remove one of the two images"
            )
    return found


def left_over(folder: Path, used: Iterable[Path]) -> tuple[Path, ...]:
    """Image files of a folder that no image uses, in the order of their names."""
    taken = set(used)
    return tuple(sorted(p for p in _entries(folder) if p.suffix.lower() in IMAGE_ENDINGS and p not in taken))


def lines_of(path: Path) -> list[str]:
    """The lines of a list file without blank ones; ``UserError`` if it cannot be read or has none."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: not a list that can be read ({_why(error)}); expected lines of text"
        ) from None
    lines = [line for line in lines if line]
    if not lines:
        raise UserError(f"{path}: an empty list; expected one image a line")
    return lines


def list_at(pattern: str, root: Path, split: str) -> Path:
    """The list file of a split: ``{split}`` in the pattern stands for it; found under the root, else from here.

    ``UserError`` if there is none.
    """
    named = Path(pattern.replace("{split}", split))
    for path in (root / named, named):
        if path.is_file():
            return path
    raise UserError(
        f"{root / named}: no such list; expected one image a line; add it, or set data.lists to another"
    )


def existing(paths: Sequence[Path], source: Path) -> list[Path]:
    """The images that a list names; ``UserError`` for the first one that is not there."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise UserError(
            f"{missing[0]}: no such file, as for {len(missing)} of the {len(paths)} images that {source} names; "
            "add the images, take them off the list, or check --data"
        )
    return list(paths)


def _why(error: Exception) -> str:
    return (error.strerror or "unreadable") if isinstance(error, OSError) else "not UTF-8"
