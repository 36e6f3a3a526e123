"""Checkpoints that survive a crash: written whole or not at all, read without running any code."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

FORMAT = 1


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or read: which file, why, what to do."""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside ``path`` and put it in place only when it is safe on the disk.

    ``CheckpointError`` if that fails (a full disk, say): then ``path`` is as it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        part.unlink(missing_ok=True)
        raise CheckpointError(
            f"{path}: cannot be written ({error}); free some space or choose another place, then start again"
        ) from error
    _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def save(folder: Path, step: int, state: dict[str, Any], *, keep: int) -> Path:
    """Write ``step-N.pt`` and delete all but the newest ``keep``."""
    path = folder / f"step-{step:08d}.pt"
    write_whole(path, lambda part: torch.save({"format": FORMAT, "step": step, **state}, part))
    for old in [*_saved(folder)[:-keep], *folder.glob(".*.part")]:  # parts are what killed writes left
        old.unlink(missing_ok=True)
    return path


def newest(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The state of the newest checkpoint that can be read; None if there is none at all."""
    saved = _saved(folder)
    problems = []
    for path in reversed(saved):
        try:
            state = torch.load(path, map_location=device, weights_only=True)
        except Exception as error:  # whatever a damaged file makes the reader do, the one before may be whole
            problems.append(f"{path.name}: {str(error).splitlines()[0]}")
            continue
        if state.get("format") != FORMAT:
            raise CheckpointError(
                f"{path}: checkpoint format {state.get('format')}, this version reads {FORMAT}; "
                "go on with the version that wrote it (run.json names it)"
            )
        return dict(state)
    if problems:
        raise CheckpointError(
            f"{folder}: no checkpoint can be read ({'; '.join(problems)}); start in a new folder"
        )
    return None


def _saved(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt"))


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # without this a power cut can undo the rename
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
