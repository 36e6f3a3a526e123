"""Lists of files: kept compactly in memory, found in folders, read from list files, matched to images."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import overload

import numpy as np

from segwright.errors import UserError
from segwright.files import missing_folder

IMAGE_EXTENSIONS = (
    ".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".jp2", ".npy",
    ".gif", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".jpe", ".jfif",
)  # fmt: skip
"""The files that are images, in lower case; of several with one name the first in this order is taken."""
MAP_EXTENSIONS = (".png", ".tif", ".tiff", ".bmp", ".npy", ".gif", ".pgm", ".ppm")
"""The files that are label maps: formats that keep every value, and GIF."""
_SYSTEM_NAMES = frozenset({
    "__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r",
    "@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot",
    "$recycle.bin", "system volume information", "lost+found",
})  # fmt: skip


class CompactStrings(Sequence[str]):
    """An immutable sequence of strings, stored in one buffer.

    Worker processes share the memory of their parent process until it is written to. Even reading a Python object
    writes to it (its reference count), so a list of strings is copied into every worker. Here a million strings are
    two arrays, which are never copied.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        # surrogateescape: the bytes of a file name need not be valid UTF-8.
        encoded = [string.encode("utf-8", "surrogateescape") for string in strings]
        self._ends = np.cumsum([0, *(len(data) for data in encoded)], dtype=np.int64)
        self._bytes = np.frombuffer(b"".join(encoded), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> CompactStrings: ...
    def __getitem__(self, index: int | slice) -> str | CompactStrings:
        if isinstance(index, slice):
            return CompactStrings(self[i] for i in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        data = self._bytes[self._ends[index] : self._ends[index + 1]].tobytes()
        return data.decode("utf-8", "surrogateescape")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))


class CompactPaths(Sequence[Path]):
    """An immutable sequence of paths, stored in one buffer (see ``CompactStrings``)."""

    def __init__(self, paths: Iterable[Path | str]) -> None:
        self._strings = CompactStrings(str(path) for path in paths)

    @classmethod
    def of(cls, paths: Iterable[Path | str]) -> CompactPaths:
        """The paths as they are if they are compact, else a copy that is."""
        return paths if isinstance(paths, cls) else cls(paths)

    def __len__(self) -> int:
        return len(self._strings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(self._strings)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> CompactPaths: ...
    def __getitem__(self, index: int | slice) -> Path | CompactPaths:
        return CompactPaths(self._strings[index]) if isinstance(index, slice) else Path(self._strings[index])


def leads_out(name: str) -> bool:
    """Whether a relative name, with slashes, would leave the folder that it is relative to: /etc/passwd, ../a.png."""
    if ".." not in name and not name.startswith("/") and ":" not in name[:2]:
        return False
    path = os.path.normpath(name)
    return os.path.isabs(path) or path.split(os.sep, 1)[0] == ".." or PureWindowsPath(name).is_absolute()


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or made by an operating system, a NAS or a tool.

    Such files are copies, thumbnails and settings, never data: ``._photo.jpg`` and ``__MACOSX`` of macOS,
    ``.ipynb_checkpoints`` of Jupyter, ``@eaDir`` of Synology, ``Thumbs.db`` of Windows, and the like.
    """
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def has_hidden_part(path: Path, folder: Path) -> bool:
    """Whether a path below ``folder`` is hidden, or lies in a hidden folder below it (see ``is_hidden``)."""
    return any(is_hidden(part) for part in path.relative_to(folder).parts)


def list_images(
    folder: Path,
    *,
    recursive: bool = False,
    extensions: Sequence[str] = IMAGE_EXTENSIONS,
    remedy: str = "check --data and the split",
) -> list[Path]:
    """The image files of a folder, sorted by path; with ``recursive`` those of its subfolders as well.

    Hidden and system files and folders are skipped (see ``is_hidden``), and a folder that links to a folder above it
    is read once. ``UserError`` if the folder does not exist, with this ``remedy``, or contains no image.
    """
    if not folder.is_dir():
        raise missing_folder(folder, f"expected a folder of images; {remedy}")
    paths = _walk(folder) if recursive else _entries(folder)
    images = sorted(path for path in paths if path.suffix.lower() in extensions)
    if not images:
        raise UserError(
            f"{folder}: contains no images; expected files that end in {' '.join(extensions)}; add them, or choose "
            "another folder"
        )
    return images


def _entries(folder: Path) -> Iterator[Path]:
    return (Path(e.path) for e in os.scandir(folder) if not is_hidden(e.name) and not e.is_dir())


def _walk(folder: Path) -> Iterator[Path]:
    visited: set[str] = set()
    for parent, subfolders, names in os.walk(folder, followlinks=True):
        real_path = os.path.realpath(parent)
        if real_path in visited:  # a symbolic link back to a folder above
            subfolders.clear()
            continue
        visited.add(real_path)
        subfolders[:] = [name for name in subfolders if not is_hidden(name)]
        yield from (Path(parent, name) for name in names if not is_hidden(name))


def match_files(
    images: Sequence[Path], path_of: Callable[[Path], Path], *, kind: str = "map"
) -> tuple[Path, ...]:
    """The file that belongs to each image (its label map, for example), in the order of the images.

    ``path_of`` gives the path for an image; ``kind`` names these files in messages. ``UserError`` names the first
    file that does not exist, or two images that share one file.
    """
    paths = tuple(_existing(path_of(image)) for image in images)
    missing = [index for index, path in enumerate(paths) if not path.is_file()]
    if missing:
        first = missing[0]
        raise UserError(
            f"{paths[first]}: no such file (missing for {len(missing)} of {len(paths)} images); expected one {kind} "
            f"per image ({images[first].name}); add the {kind} or remove the image"
        )
    image_of: dict[Path, Path] = {}
    for image, path in zip(images, paths, strict=True):
        if image_of.setdefault(path, image) != image:
            raise UserError(
                f"{image}: has the same {kind} {path.name} as {image_of[path].name}; remove one of the two images"
            )
    return paths


def unmatched_maps(folder: Path, used: Iterable[Path]) -> tuple[Path, ...]:
    """The image files of a folder that are not in ``used``, sorted by path: label maps without an image."""
    used = set(used)
    return tuple(
        sorted(p for p in _entries(folder) if p.suffix.lower() in IMAGE_EXTENSIONS and p not in used)
    )


def read_lines(path: Path) -> list[str]:
    """The lines of a list file, stripped, without blank ones; ``UserError`` if it is unreadable or empty."""
    try:
        # Not splitlines: a name may contain other characters that it takes for the end of a line.
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: not a list that can be read ({_reason(error)}); expected a text file with one entry per line; "
            "replace it"
        ) from None
    lines = [line for line in lines if line]
    if not lines:
        raise UserError(f"{path}: an empty list; expected one image per line; add them, or use another list")
    return lines


def find_list_file(pattern: str, root: Path, split: str) -> Path:
    """The list file of a split: ``pattern`` with the split in place of {split}.

    The path is relative to ``root`` or else to the current folder. ``UserError`` if neither file exists.
    """
    relative = Path(pattern.replace("{split}", split))
    for path in (root / relative, relative):
        if path.is_file():
            return path
    raise UserError(
        f"{root / relative}: no such list; expected a text file with one image per line; add it, or set data.lists to "
        "another file"
    )


def require_files(paths: Sequence[Path], source: Path) -> list[Path]:
    """``paths``, the images that the list file ``source`` names; ``UserError`` for the first that does not exist."""
    paths = [_existing(path) for path in paths]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise UserError(
            f"{missing[0]}: no such file ({len(missing)} of the {len(paths)} images that {source} names are missing); "
            "add the images, remove them from the list, or check --data"
        )
    return paths


def _existing(path: Path) -> Path:
    """The path, or the same with its extension in upper or lower case if only that file exists."""
    if path.is_file():
        return path
    others = (path.with_suffix(path.suffix.upper()), path.with_suffix(path.suffix.lower()))
    return next((other for other in others if other.is_file()), path)


class ListedImages:
    """The images of a folder, found by the names in a list file.

    A name is relative to ``folder`` or to ``root``, with or without extension; it may contain dots and spaces. Upper
    and lower case of the extension are not distinguished, nor are / and \\.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root
        images = list_images(folder, recursive=True)
        images.sort(key=lambda path: IMAGE_EXTENSIONS.index(path.suffix.lower()))
        self._images: dict[str, Path] = {}
        stems = [str(image.relative_to(folder).with_suffix("")) for image in images]
        for strip in (False, True):  # the lines of a list are read without spaces at their ends
            for image, stem in zip(images, stems, strict=True):
                for name in (f"{stem}{image.suffix.lower()}", stem):
                    self._images.setdefault(_normalized(name.strip() if strip else name), image)

    def find(self, line: str) -> Path | None:
        """The image that a line names. The line may name the label map as well, after the image, or have VOC's flag."""
        columns = [line, *line.split("\t")[:1]]
        for gap in reversed(list(re.finditer(r"[\s,;]+", line))):
            rest = line[gap.end() :]
            if "/" in rest or rest.lower().endswith(IMAGE_EXTENSIONS) or re.search(r"( -1|  [01])$", line):
                columns.append(line[: gap.start()])
        images = (self._find(name) for name in dict.fromkeys(columns))
        return next((path for path in images if path is not None), None)

    def _find(self, name: str) -> Path | None:
        for spelling in dict.fromkeys((name, name.replace("\\", "/"))):
            for base in (self.folder / spelling, self.root / spelling.lstrip("/")):
                relative = Path(os.path.relpath(base, self.folder))
                if relative.parts[:1] == ("..",):
                    continue
                if (self.folder / relative).is_file():
                    return self.folder / relative
                if (extension := relative.suffix.lower()) in IMAGE_EXTENSIONS:
                    relative = relative.with_suffix(extension)
                if image := self._images.get(_normalized(str(relative))):
                    return image
        return None


def _normalized(name: str) -> str:
    # macOS writes an accent as a character of its own.
    return unicodedata.normalize("NFC", name)


def _reason(error: Exception) -> str:
    return (error.strerror or "unreadable") if isinstance(error, OSError) else "not UTF-8"
