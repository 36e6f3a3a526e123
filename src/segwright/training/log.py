"""What a run tells: console, one text file a process, JSON lines, CSV, TensorBoard, and services if asked for."""

from __future__ import annotations

import csv
import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from segwright.errors import UserError
from segwright.files import nan_to_null, write_text
from segwright.recipe import Training
from segwright.training.processes import Processes

LINES = "log.jsonl"


class StepTimer:
    """Seconds a step and the share of them spent waiting for data, since last read."""

    def __init__(self) -> None:
        self._steps, self._seconds, self._waited = 0, 0.0, 0.0

    def add(self, seconds: float, waited: float) -> None:
        """Count a step of ``seconds``, of which it ``waited``."""
        self._steps += 1
        self._seconds += seconds
        self._waited += waited

    def read(self) -> tuple[float, float]:
        """(seconds a step, share waited), and start anew."""
        result = self._seconds / self._steps, self._waited / self._seconds
        self._steps, self._seconds, self._waited = 0, 0.0, 0.0
        return result


class Log:
    """The log of one process in the run folder ``out``; the main process also writes what is for all."""

    def __init__(self, out: Path, training: Training, processes: Processes) -> None:
        self.out, self.main = out, processes.main
        self.started = time.perf_counter()
        self.clock = StepTimer()
        self._services = _services(out, training) if self.main else []
        (out / "logs").mkdir(parents=True, exist_ok=True)
        self._own: TextIO = open(out / "logs" / f"rank-{processes.rank}.txt", "a", encoding="utf-8")  # noqa: SIM115
        self._bar: Any = None
        if self.main and sys.stderr.isatty():
            self._bar = _progress_bar(training.steps)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        if error is not None:
            self._write_own(f"left by {kind.__name__ if kind else ''}: {error}")
        if self._bar is not None:
            self._bar.stop()
        for service in self._services:
            service.close()
        self._own.close()

    def say(self, text: str) -> None:
        """A line for the reader: into this process's file, and on the console of the main process."""
        self._write_own(text)
        if self.main:
            if self._bar is not None:
                self._bar.console.print(text, highlight=False)
            else:
                print(text, file=sys.stderr, flush=True)

    def values(self, kind: str, step: int, values: dict[str, float]) -> None:
        """Numbers of a ``kind`` ("step", "evaluation") after ``step`` steps."""
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
        _write_csv(self.out)
        for service in self._services:
            service.add(kind, step, values)

    def progress(self, step: int, text: str) -> None:
        """Where the training stands."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=step, description=text)
            self._write_own(f"step {step}: {text}")
        else:
            self.say(f"step {step}: {text}")

    def forget_after(self, step: int) -> None:
        """Drop lines beyond ``step``: a resumed run computes them again."""
        path = self.out / LINES
        if self.main and path.is_file():
            kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _step_of(line) <= step]
            text = "".join(f"{line}\n" for line in kept)
            write_text(path, text)

    def _write_own(self, text: str) -> None:
        self._own.write(f"{datetime.now().isoformat(timespec='seconds')} {text}\n")
        self._own.flush()


def read_lines(out: Path, kind: str) -> list[dict[str, Any]]:
    """The logged lines of a kind, oldest first."""
    path = out / LINES
    if not path.is_file():
        return []
    texts = path.read_text(encoding="utf-8").splitlines()
    lines = [json.loads(text) for text in texts if _step_of(text) < sys.maxsize]
    return [line for line in lines if line["kind"] == kind]


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
        self.run = wandb.init(
            project=project, dir=str(folder), name=folder.name, id=folder.name, resume="allow"
        )

    def add(self, kind: str, step: int, values: dict[str, float]) -> None:
        self.run.log({f"{kind}/{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        self.run.finish()


class _MLflow:
    def __init__(self, folder: Path, experiment: str) -> None:
        self.mlflow = _require("mlflow")
        self.mlflow.set_experiment(experiment)
        self.mlflow.start_run(run_name=folder.name)

    def add(self, kind: str, step: int, values: dict[str, float]) -> None:
        self.mlflow.log_metrics({f"{kind}/{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        self.mlflow.end_run()


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

    columns = (TextColumn("{task.completed}/{task.total}"), BarColumn(), TextColumn("{task.description}"))
    bar = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True))
    bar.add_task("starting", total=steps)
    bar.start()
    return bar


def _write_csv(out: Path) -> None:
    """The JSON lines as a table: one row a line, one column a name."""
    lines = [json.loads(line) for line in (out / LINES).read_text(encoding="utf-8").splitlines()]
    columns = list(dict.fromkeys(name for line in lines for name in line))
    with open(out / "log.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except ValueError:  # the last line of a killed run may be half a line
        return sys.maxsize
