"""Checkpoints that survive a crash: written whole or not at all, read without running any code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from segwright.errors import RunError
from segwright.files import atomic_write

FORMAT = 1


class CheckpointError(RunError):
    """A checkpoint that cannot be read: which file, why, what to do."""


def save(folder: Path, step: int, state: dict[str, Any], *, keep: int) -> Path:
    """Write ``step-N.pt`` and delete all but the newest ``keep``."""
    path = folder / f"step-{step:08d}.pt"
    atomic_write(path, lambda part: torch.save({"format": FORMAT, "step": step, **state}, part))
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
