"""Archives from the internet, unpacked safely: zip and tar, also compressed."""

from __future__ import annotations

import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from segwright.errors import UserError

MAX_FILES = 2_000_000
"""An archive with more members is refused."""

MAX_BYTES = 200 * 2**30
"""An archive whose unpacked files are larger is refused."""

MAX_RATIO = 200
"""An archive that is more than so many times larger when unpacked is refused (from 100 MB on)."""

_SMALL = 100 * 10**6
_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError,
    RuntimeError, ValueError, LookupError, OverflowError,
)  # fmt: skip


def unpack(archive: Path, folder: Path) -> int:
    """Unpack a zip or tar archive into ``folder``; returns the number of files.

    ``UserError`` for a damaged archive, and for one that is refused: with a member outside of the folder, an absolute
    path, a link, a device, too many members (``MAX_FILES``), or too many bytes (``MAX_BYTES``, ``MAX_RATIO``). All
    members are checked before the first one is written.
    """
    try:
        with _opened(archive) as members:
            checked = list(members)
            _check(archive, checked, folder)
            for member in checked:
                member.write(folder)
            return len(checked)
    except UserError:
        raise
    except _DAMAGED as error:
        raise UserError(f"{archive}: damaged archive ({error}); download it again") from None


class _Member:
    """A regular file in an archive."""

    def __init__(
        self, name: str, size: int, source: zipfile.ZipFile | tarfile.TarFile, entry: object
    ) -> None:
        self.name, self.size, self._source, self._entry = name, size, source, entry

    def write(self, folder: Path) -> None:
        """Write the file below ``folder``; never more bytes than the archive says."""
        path = folder / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        if path.stat().st_size != self.size:
            raise UserError(f"{self.name}: {path.stat().st_size} bytes; the archive says {self.size}")

    def _open(self) -> Any:
        if isinstance(self._source, zipfile.ZipFile):
            assert isinstance(self._entry, zipfile.ZipInfo)
            return self._source.open(self._entry)
        assert isinstance(self._entry, tarfile.TarInfo)
        file = self._source.extractfile(self._entry)
        assert file is not None
        return file


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as source:
            yield _zip_members(archive, source)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            yield _tar_members(archive, tar)
    else:
        raise UserError(f"{archive}: neither a zip nor a tar archive; download it again")


def _zip_members(archive: Path, source: zipfile.ZipFile) -> Iterator[_Member]:
    for entry in source.infolist():
        mode = entry.external_attr >> 16
        if entry.is_dir():
            continue
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise UserError(f"{archive}: {entry.filename} is a link or a device; the archive is refused")
        yield _Member(entry.filename, entry.file_size, source, entry)


def _tar_members(archive: Path, source: tarfile.TarFile) -> Iterator[_Member]:
    for entry in source:
        if entry.isdir():
            continue
        if not entry.isreg():
            raise UserError(f"{archive}: {entry.name} is a link or a device; the archive is refused")
        yield _Member(entry.name, entry.size, source, entry)


def _check(archive: Path, members: list[_Member], folder: Path) -> None:
    root = folder.resolve()
    for member in members:
        path = PurePosixPath(member.name.replace("\\", "/"))
        outside = path.is_absolute() or ".." in path.parts or ":" in path.parts[0]
        if outside or not (root / member.name).resolve().is_relative_to(root):
            raise UserError(f"{archive}: {member.name} lies outside of the folder; the archive is refused")
    total = sum(member.size for member in members)
    if len(members) > MAX_FILES:
        raise UserError(f"{archive}: {len(members)} files; at most {MAX_FILES} are unpacked")
    if total > MAX_BYTES or total > max(_SMALL, MAX_RATIO * archive.stat().st_size):
        raise UserError(f"{archive}: {total} bytes when unpacked; the archive is refused as too large")
    if total > (free := shutil.disk_usage(folder).free):
        raise UserError(f"{folder}: {free / 1e9:.1f} GB are free; unpacking needs {total / 1e9:.1f} GB")
