"""Checkpoint files: written atomically, so that a crash leaves none half written, and read without running code."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from segwright.errors import RunError, first_line
from segwright.files import atomic_write

FORMAT = 1


class CheckpointError(RunError):
    """A checkpoint that cannot be read; the message says which file, why, and what to do."""


def save(folder: Path, step: int, state: dict[str, Any], *, keep: int) -> Path:
    """Write ``step-N.pt`` and delete all but the newest ``keep``; those of later steps are damaged (``newest``)."""
    path = folder / f"step-{step:08d}.pt"
    atomic_write(path, lambda part: torch.save({"format": FORMAT, "step": step, **state}, part))
    saved = _saved(folder)
    count = saved.index(path) + 1
    half_written = folder.glob(".*.part")  # by a process that was killed
    for old in [*saved[: max(0, count - keep)], *saved[count:], *half_written]:
        old.unlink(missing_ok=True)
    return path


def newest(
    folder: Path, device: torch.device, *, say: Callable[[str], object] = lambda text: None
) -> dict[str, Any] | None:
    """The state of the newest checkpoint that can be read; None if the folder has no checkpoint.

    ``say`` is called with a line about each newer one that is damaged.

    ``CheckpointError`` if none of them can be read, or if another version of segwright wrote it.
    """
    saved = _saved(folder)
    problems = []
    for path in reversed(saved):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch, about damaged files
                state = torch.load(path, map_location=device, weights_only=True)
            format = state.get("format")
        except Exception as error:  # a damaged file may raise anything; the checkpoint before may be good
            problems.append(f"{path.name}: damaged ({first_line(error).rstrip('.')})")
            continue
        if format != FORMAT:
            raise CheckpointError(
                f"{path}: checkpoint format {format}, this version reads {FORMAT}; "
                "resume with the version that wrote it (run.json names it)"
            )
        for problem in problems:
            say(f"warning: {folder / problem}; the checkpoint before is used instead: {path.name}")
        return dict(state)
    if problems:
        raise CheckpointError(
            f"{folder}: no checkpoint can be read ({'; '.join(problems)}); start in a new folder"
        )
    return None


def _saved(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt"))
