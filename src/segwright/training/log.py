"""Logging: console, a text file per process, JSON lines, CSV, TensorBoard; Weights & Biases and MLflow on request."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

from segwright.errors import UserError
from segwright.files import nan_to_null, parse_json, write_text
from segwright.training.processes import Processes
from segwright.training.recipe import Training

LINES = "log.jsonl"


class StepTimer:
    """Mean seconds per step, and the fraction of them spent waiting for data, since the last reading."""

    def __init__(self) -> None:
        self._steps, self._seconds, self._waited = 0, 0.0, 0.0

    def add(self, seconds: float, waited: float) -> None:
        """Count a step of ``seconds``, of which ``waited`` were spent waiting for data."""
        self._steps += 1
        self._seconds += seconds
        self._waited += waited

    def read(self) -> tuple[float, float]:
        """(seconds per step, fraction of waiting); starts again at zero."""
        result = self._seconds / self._steps, self._waited / self._seconds
        self._steps, self._seconds, self._waited = 0, 0.0, 0.0
        return result


class Log:
    """The log of one process in the run folder ``out``. The main process also writes everything that is for all."""

    def __init__(self, out: Path, training: Training, processes: Processes) -> None:
        self.out, self.main = out, processes.main
        self.started = time.perf_counter()
        self.timer = StepTimer()
        self._table = _Table(out)
        self._services = _services(out, training) if self.main else []
        (out / "logs").mkdir(parents=True, exist_ok=True)
        self._own: TextIO = open(  # noqa: SIM115
            out / "logs" / f"rank-{processes.rank}.txt", "a", encoding="utf-8", errors="backslashreplace"
        )
        self._bar: Any = None
        if self.main and sys.stderr.isatty():
            self._bar = _progress_bar(training.steps)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        if error is not None:
            self._write_own(f"failed with {kind.__name__ if kind else ''}: {error}")
        if self._bar is not None:
            self._bar.stop()
        for service in self._services:
            service.close()
        self._own.close()

    def say(self, text: str) -> None:
        """Write a line of text into the file of this process and, from the main process, on the console."""
        self._write_own(text)
        if self.main:
            if self._bar is not None:
                self._bar.console.print(text, highlight=False, markup=False)
            else:
                print(text, file=sys.stderr, flush=True)

    def values(self, kind: str, step: int, values: dict[str, float]) -> None:
        """Log numbers of a ``kind`` ("step" or "evaluation") after ``step`` steps; the main process does it."""
        if not self.main:
            return
        line = {
            "kind": kind,
            "step": step,
            **nan_to_null(values),
            "seconds": round(time.perf_counter() - self.started, 3),
        }
        with open(self.out / LINES, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._table.append(line)
        for service in self._services:
            service.add(kind, step, values)

    def progress(self, step: int, text: str) -> None:
        """Show the progress of the training on the console, and write it into the file of this process."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=step, description=text)
            self._write_own(f"step {step}: {text}")
        else:
            self.say(f"step {step}: {text}")

    def forget_after(self, step: int) -> None:
        """Delete the lines after ``step``, which a resumed run computes again."""
        path = self.out / LINES
        if self.main and path.is_file():
            kept = [line for line in _texts(path) if _step_of(line) <= step]
            write_text(path, "".join(f"{line}\n" for line in kept))
            self._table.rewrite()

    def _write_own(self, text: str) -> None:
        self._own.write(f"{datetime.now().isoformat(timespec='seconds')} {text}\n")
        self._own.flush()


def read_lines(out: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of a kind ("step" or "evaluation") in the log of the run folder ``out``, oldest first."""
    return [line for line in _read_all(out) if line["kind"] == kind]


def _read_all(out: Path) -> list[dict[str, Any]]:
    path = out / LINES
    if not path.is_file():
        return []
    return [parse_json(text) for text in _texts(path) if _step_of(text) < sys.maxsize]


def _texts(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


class _Table:
    """``log.csv``: one row per line of the log, one column per name, in the order in which names first occur."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._columns: dict[str, None] | None = None

    def append(self, line: dict[str, Any]) -> None:
        """Add the newest line of the log; a line with a new name rewrites the file."""
        if self._columns is None or not line.keys() <= self._columns.keys():
            self.rewrite()
            return
        with open(self.out / "log.csv", "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns).writerow(line)

    def rewrite(self) -> None:
        """Write the file again, from all lines of the log."""
        lines = _read_all(self.out)
        self._columns = dict.fromkeys(name for line in lines for name in line)
        rows = io.StringIO(newline="")
        writer = csv.DictWriter(rows, self._columns)
        writer.writeheader()
        writer.writerows(lines)
        write_text(self.out / "log.csv", rows.getvalue())


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.writer: Any = SummaryWriter(str(folder))

    def add(self, kind: str, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        self.writer.close()


class _Wandb:
    def __init__(self, folder: Path, project: str) -> None:
        wandb = _require("wandb")
        stored = _StoredId(folder, "wandb")
        identity = stored.read() or uuid4().hex
        self.run = wandb.init(project=project, dir=str(folder), name=folder.name, id=identity, resume="allow")
        stored.write(identity)

    def add(self, kind: str, step: int, values: dict[str, float]) -> None:
        self.run.log({f"{kind}/{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        self.run.finish()


class _MLflow:
    def __init__(self, folder: Path, experiment: str) -> None:
        self.mlflow = _require("mlflow")
        self.mlflow.set_experiment(experiment)
        stored = _StoredId(folder, "mlflow")
        identity = stored.read()
        run = self.mlflow.start_run(run_id=identity, run_name=None if identity else folder.name)
        stored.write(run.info.run_id)

    def add(self, kind: str, step: int, values: dict[str, float]) -> None:
        # MLflow refuses other characters, such as the brackets of a class name.
        names = {name: re.sub(r"[^\w\-. /]", "_", f"{kind}/{name}") for name in values}
        self.mlflow.log_metrics({names[name]: value for name, value in values.items()}, step=step)

    def close(self) -> None:
        self.mlflow.end_run()


class _StoredId:
    """The id of a run at a service: a resumed run continues there; runs whose folders have one name stay apart."""

    def __init__(self, folder: Path, service: str) -> None:
        self.path = folder / "logs" / f"{service}-id.txt"

    def read(self) -> str | None:
        return self.path.read_text(encoding="utf-8").strip() if self.path.is_file() else None

    def write(self, identity: str) -> None:
        write_text(self.path, f"{identity}\n")


def _services(out: Path, training: Training) -> list[Any]:
    services: list[Any] = [_TensorBoard(out / "tensorboard")]
    if training.wandb:
        services.append(_Wandb(out, training.wandb))
    if training.mlflow:
        services.append(_MLflow(out, training.mlflow))
    return services


def _require(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise UserError(
            f"training.{name} is set but {name} is not installed; pip install 'segwright[{name}]'"
        ) from None


def _progress_bar(steps: int) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    description = TextColumn("{task.description}", markup=False)
    columns = (TextColumn("{task.completed}/{task.total}"), BarColumn(), description)
    bar = Progress(*columns, TextColumn("elapsed"), TimeElapsedColumn(), console=Console(stderr=True))
    bar.add_task("starting", total=steps)
    bar.start()
    return bar


def _step_of(line: str) -> int:
    """The step of a line; the largest number if it is damaged, as the last line of a killed run may be."""
    try:
        values = parse_json(line)
        return int(values["step"]) if "kind" in values else sys.maxsize
    except (ValueError, TypeError, LookupError, OverflowError):
        return sys.maxsize
