"""Files on disk: JSON and text, and the one place that writes a file whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

from segwright.errors import RunError, UserError, is_full_disk


class WriteError(RunError):
    """A file that cannot be written: which one, why, what to do."""


@contextmanager
def atomic_outputs(targets: Sequence[Path], *, force: bool) -> Iterator[tuple[Path, ...]]:
    """A temporary path beside each target; files and folders written there replace the targets together at the end.

    If the body raises, every target is as it was before. ``UserError`` if a target exists already and not ``force`` (an
    empty folder does not count), or if a target cannot be written; ``WriteError`` if the disk is full.
    """
    for target in targets:
        if not force and (target.is_file() or (target.is_dir() and any(target.iterdir()))):
            raise UserError(f"{target}: exists already; choose another path, or replace it with --force")
        make_folder(target.parent)
    remove_leftovers_of(*targets)
    try:
        with _temporary_paths(targets) as parts:
            yield parts
    except OSError as error:
        full = is_full_disk(error)
        if not full and not any(_is_about(error, target) for target in targets):
            raise  # of another file, which the body could not read
        remedy = "free some space, or choose another path" if full else "choose another path"
        text = f"{targets[0]}: cannot be written ({error.strerror}); {remedy}"
        raise (WriteError if full else UserError)(text) from None


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, which then replaces ``path``, safe against a power cut.

    ``WriteError`` if that fails (a full disk, for example): then ``path`` is as it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _temporary_paths((path,)) as (part,):
            write(part)
    except Exception as error:
        # torch reports a full disk as a RuntimeError, safetensors with a class of its own.
        if not isinstance(error, OSError | RuntimeError) and type(error).__name__ != "SafetensorError":
            raise
        raise WriteError(
            f"{path}: cannot be written ({error}); free some space or choose another folder, then start again"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) whole or not at all; file names that are not UTF-8 have escapes in it."""
    atomic_write(path, lambda part: part.write_text(text, encoding="utf-8", errors="backslashreplace"))


def write_json(path: Path, values: Any, *, indent: int | None = 2) -> None:
    """Write a JSON file whole or not at all; NaN becomes null."""
    write_text(path, json.dumps(nan_to_null(values), indent=indent))


def read_text(path: Path) -> str:
    """The content of a text file (UTF-8); ``UserError`` if it is damaged."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not text in UTF-8 ({error.reason}); write it again, or restore a copy of it"
        ) from None


def parse_json(text: str | bytes) -> Any:
    """The content of JSON text; ``ValueError`` for all that is no JSON, also if it is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(path: Path) -> Any:
    """The content of a JSON file; None if the file does not exist. ``UserError`` if it is damaged."""
    if not path.is_file():
        return None
    try:
        return parse_json(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); write it again, or restore a copy of it") from None


def nan_to_null(value: Any) -> Any:
    """``value`` with None for every NaN inside its dicts, lists and tuples: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: nan_to_null(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [nan_to_null(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def checksum(path: Path, kind: Literal["sha256", "md5"] = "sha256") -> str:
    """The checksum of a file in hexadecimal digits; the file is read in blocks. ``OSError`` if it cannot be read."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def missing_folder(path: Path, expected: str) -> UserError:
    """What is wrong with ``path``, where a folder was expected: it is a file, or does not exist."""
    return UserError(f"{path}: {'is a file' if path.is_file() else 'no such folder'}; {expected}")


def make_folder(folder: Path) -> None:
    """Create a folder; ``UserError`` if a file has its name, or that of a folder above it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        file = next(path for path in (folder, *folder.parents) if path.is_file() or path == path.parent)
        raise UserError(f"{file}: is a file; expected a folder; choose another path") from None


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes left half-written in ``folder``; no other process may be writing there."""
    for part in [*folder.rglob(".*.part")]:
        _remove(part)


def remove_leftovers_of(*targets: Path) -> None:
    """Delete what killed processes left beside ``targets``; other processes may be writing there at the same time.

    A folder that was about to be replaced comes back.
    """
    for target in targets:
        start = f".{target.name}."
        for name in _names(target.parent):
            owner, _, kind = name.removeprefix(start).partition(".")
            if name.startswith(start) and kind in ("part", "old") and _is_dead(owner):
                if kind == "old" and not target.exists():
                    os.replace(target.with_name(name), target)
                else:
                    _remove(target.with_name(name))


def check_writable(*paths: Path | None) -> None:
    """``UserError`` for a file that could not be written at the end of long work; parent folders are created.

    What a killed process left beside these files is deleted.
    """
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise UserError(f"{path}: is a folder; expected the name of a file to write")
        make_folder(path.parent)
        if not os.access(path.parent, os.W_OK):
            raise UserError(f"{path}: no permission to write there; choose a folder that you may write to")
        remove_leftovers_of(path)


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """An empty folder on the file system of ``target``, for files that are checked and then moved; deleted at the end.

    What a killed process leaves is deleted by ``check_writable`` of the same target.
    """
    folder = _part(target)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        _remove(folder)


def _part(target: Path) -> Path:
    """The temporary path of this process beside ``target``."""
    return target.with_name(f".{target.name}.{os.getpid()}-{_machine()}.part")


@cache
def _machine() -> str:
    """What tells this machine, or this container, from others that write to the same folder."""
    name = socket.gethostname()
    with suppress(OSError):
        name += os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8]


def _is_dead(owner: str) -> bool:
    """Whether ``owner``, process and machine in a temporary path, was a process of this machine that has ended."""
    process, _, machine = owner.partition("-")
    if machine != _machine() or not process.isdecimal() or os.name != "posix":
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:  # a process of somebody else
        return False
    return False


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # writing says what is wrong
        return []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _is_about(error: OSError, target: Path) -> bool:
    """Whether an error concerns ``target``, its temporary path, or a folder above them; if it names no file, yes."""
    if not isinstance(error.filename, str | os.PathLike):
        return True
    path, part = Path(error.filename), _part(target)
    return path in (target, part, *part.parents) or part in path.parents


@contextmanager
def _temporary_paths(targets: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    parts = tuple(map(_part, targets))
    try:
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        yield parts
        for part, target in zip(parts, targets, strict=True):
            _replace(part, target)
    finally:
        for part in parts:
            _remove(part)


def _replace(part: Path, target: Path) -> None:
    """Move ``part`` to ``target``; what was there is deleted only when the new one is in place."""
    if part.is_file():
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
    if target.is_dir():
        old = part.with_suffix(".old")
        os.replace(target, old)
        try:
            os.replace(part, target)
        except OSError:
            os.replace(old, target)
            raise
        shutil.rmtree(old)
    else:
        os.replace(part, target)
    if os.name == "posix":  # without this a power cut can undo the rename
        handle = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
