"""Further steps for a finished run: an extension, with a learning rate schedule of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segwright.errors import UserError
from segwright.files import read_json, write_json
from segwright.training.processes import Processes
from segwright.training.recipe import Recipe, Schedule
from segwright.training.schedule import backbone_factor


@dataclass(frozen=True, slots=True)
class Extension:
    """``steps`` further steps behind ``first_step``, the step at which the run was finished."""

    first_step: int
    steps: int


def extensions_of(out: Path, extend: int | None) -> list[Extension]:
    """The extensions of the run in ``out``, with a new one of ``extend`` steps if the run is finished.

    An extension that was interrupted is continued. ``UserError`` if there is no run, if it is not finished, or if an
    extension of another length was interrupted. Nothing is written.
    """
    recorded = (read_json(out / "run.json") or {}).get("extensions", [])
    extensions = [Extension(**values) for values in recorded]
    if extend is None:
        return extensions
    if extend < 1:
        raise UserError(f"--extend {extend}: expected at least 1 step")
    summary = read_json(out / "summary.json")
    if summary is None:
        raise UserError(f"--extend {extend}: {out} contains no finished run; start without --extend")
    if summary["finished"] and (not extensions or summary["step"] > extensions[-1].first_step):
        return [*extensions, Extension(summary["step"], extend)]
    if not extensions:
        raise UserError(
            f"--extend {extend}: the run in {out} is at step {summary['step']} of {summary['steps']}; finish it first, "
            "with the same command without --extend"
        )
    if extensions[-1].steps != extend:
        raise UserError(
            f"--extend {extend}: the run in {out} has an extension of {extensions[-1].steps} steps that is not "
            "finished; finish it first, with the same command without --extend"
        )
    return extensions


def with_extensions(
    recipe: Recipe, extensions: Sequence[Extension], out: Path, processes: Processes
) -> Recipe:
    """The recipe with the steps and the schedule of the last extension, which ``run.json`` records."""
    if not extensions:
        return recipe
    last = extensions[-1]
    if processes.main:
        recorded = [dataclasses.asdict(extension) for extension in extensions]
        write_json(out / "run.json", (read_json(out / "run.json") or {}) | {"extensions": recorded})
    longer = recipe.with_training(steps=last.first_step + last.steps)
    longer.schedule = _Restarted(recipe.schedule, last.first_step, last.first_step + last.steps)
    return longer


@dataclass(frozen=True, slots=True)
class _Restarted:
    """A schedule that starts again at ``first_step`` and ends at ``steps``."""

    schedule: Schedule
    first_step: int
    steps: int

    def __call__(self, progress: float) -> float:
        """The factor at ``progress``, a fraction of all steps."""
        return self.schedule(self._own_progress(progress))

    def backbone(self, progress: float) -> float:
        """The factor of the backbone at ``progress``."""
        return backbone_factor(self.schedule, self._own_progress(progress))

    def _own_progress(self, progress: float) -> float:
        """The fraction of the steps from ``first_step`` on that are done."""
        step = round(progress * self.steps)
        return max(0, step - self.first_step) / (self.steps - self.first_step)
