"""The index of a tar file: where each member starts, so that samples are read in any order.

A shard in the format of webdataset is an uncompressed tar file. The members of a sample follow each other; their names
are KEY.EXTENSION, where the extension starts at the first dot. The index of ``000000.tar`` is ``000000.index``, JSON:
{"size": bytes of the tar file, "samples": [[key, {extension: [offset, size]}], ...]}.
"""

from __future__ import annotations

import os
import tarfile
from contextlib import suppress
from pathlib import Path, PurePosixPath

from segwright.errors import UserError
from segwright.files import WriteError, parse_json, write_json

Members = dict[str, tuple[int, int]]
"""Of one sample: (offset, size) of its members in the tar file, by extension."""


def tar_samples(path: Path) -> list[tuple[str, Members]]:
    """(key, members) of every sample of a tar file, in order.

    They come from the index beside it. If that is missing or of another tar file, the tar file is read, and the index
    is written where that is allowed. ``UserError`` for a tar file that is missing, damaged or compressed.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); expected a tar file; check --data"
        ) from None
    index = index_path(path)
    size = status.st_size
    samples = read_index(index, size) if _is_newer(index, status) else None
    if samples is None:
        samples = _scan(path, size)
        if os.access(path.parent, os.W_OK):
            with suppress(WriteError):  # a full disk: the next run reads the tar file again
                write_index(index, size, samples)
    return samples


def _is_newer(index: Path, tar: os.stat_result) -> bool:
    """Whether an index was written after its tar file: tar files are padded, so another one may have its size."""
    try:
        return index.stat().st_mtime_ns >= tar.st_mtime_ns
    except OSError:
        return False


def index_path(path: Path) -> Path:
    """The file of the index of a tar file."""
    return path.with_suffix(".index")


def write_index(index: Path, size: int, samples: list[tuple[str, Members]]) -> None:
    """Write the index of a tar file of ``size`` bytes."""
    write_json(index, {"size": size, "samples": samples}, indent=None)


def read_index(index: Path, size: int | None = None) -> list[tuple[str, Members]] | None:
    """The content of an index file; None if it is missing, damaged or of a tar file that has not ``size`` bytes."""
    try:
        values = parse_json(index.read_text(encoding="utf-8"))
        if size not in (None, values["size"]):
            return None
        return [
            (str(key), {str(name): (int(start), int(length)) for name, (start, length) in members.items()})
            for key, members in values["samples"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _scan(path: Path, size: int) -> list[tuple[str, Members]]:
    samples: list[tuple[str, Members]] = []
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                name = PurePosixPath(member.name)
                stem, _, extension = name.name.partition(".")
                key = str(name.with_name(stem)) if stem else str(name)
                if not samples or samples[-1][0] != key:
                    samples.append((key, {}))
                samples[-1][1][extension.lower()] = (member.offset_data, member.size)
            _check_end(path, tar.offset, size)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(
            f"{path}: not a tar file that can be read ({error}); expected an uncompressed tar file; copy it again"
        ) from None
    return samples


def _check_end(path: Path, offset: int, size: int) -> None:
    """``UserError`` if a tar file goes on behind its last member with something else than zeros."""
    with path.open("rb") as file:
        file.seek(min(offset, size))
        if any(file.read(512)):
            raise UserError(
                f"{path}: damaged at byte {offset}; expected the header of a member or the end; copy it again"
            )
