from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch

from segwright.errors import UserError
from segwright.training.log import Log, StepTimer, read_lines
from segwright.training.loop import format_duration
from segwright.training.processes import Processes, choose_device, join
from segwright.training.recipe import Training

SINGLE_PROCESS = Processes(0, 1, torch.device("cpu"))
OTHER = Processes(1, 1, torch.device("cpu"))


def test_lines_are_written_as_json_csv_and_events(tmp_path: Path) -> None:
    with Log(tmp_path, Training(), SINGLE_PROCESS) as log:
        log.values("step", 10, {"loss": 1.5})
        log.values("evaluation", 10, {"miou": 0.5})
    assert [line["loss"] for line in read_lines(tmp_path, "step")] == [1.5]
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["kind"], row["loss"], row["miou"]) for row in rows] == [
        ("step", "1.5", ""),
        ("evaluation", "", "0.5"),
    ]
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_the_time_that_is_left_may_be_more_than_a_day() -> None:
    assert [format_duration(seconds) for seconds in (0.2, 59.7, 3661, 30 * 3600 + 309)] == [
        "00:00:00", "00:01:00", "01:01:01", "30:05:09",
    ]  # fmt: skip


def test_nan_is_null(tmp_path: Path) -> None:
    with Log(tmp_path, Training(), SINGLE_PROCESS) as log:
        log.values("evaluation", 1, {"miou": float("nan")})
    assert json.loads((tmp_path / "log.jsonl").read_text())["miou"] is None


def without_seconds(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_the_table_is_appended_to_unless_a_column_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Log(tmp_path, Training(), SINGLE_PROCESS) as log:
        rewritten: list[int] = []
        rewrite = log._table.rewrite
        monkeypatch.setattr(log._table, "rewrite", lambda: rewritten.append(step) or rewrite())
        for step in range(1, 7):
            log.values("step", step, {"loss": 1 / step, "lr": float("nan")})
            if step % 3 == 0:
                log.values("evaluation", step, {"miou": step / 10})
    assert rewritten == [1, 3]
    rows = without_seconds(tmp_path / "log.csv")
    assert [row["step"] for row in rows] == ["1", "2", "3", "3", "4", "5", "6", "6"]
    assert [row["miou"] for row in rows] == ["", "", "", "0.3", "", "", "", "0.6"]
    lines = [json.loads(text) for text in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [float(row["loss"]) for row in rows if row["loss"]] == [
        line["loss"] for line in lines if "loss" in line
    ]


def test_a_resumed_run_has_the_table_of_an_uninterrupted_one(tmp_path: Path) -> None:
    def log_steps(out: Path, first: int, last: int) -> None:
        with Log(out, Training(), SINGLE_PROCESS) as log:
            log.forget_after(first)
            for step in range(first + 1, last + 1):
                log.values("step", step, {"loss": float(step)})
                if step == 3:
                    log.values("evaluation", step, {"miou": 0.5})

    log_steps(tmp_path / "straight", 0, 5)
    log_steps(tmp_path / "broken", 0, 4)
    with open(tmp_path / "broken" / "log.csv", "a") as file:
        file.write("step,5,half a li")
    log_steps(tmp_path / "broken", 2, 5)
    assert without_seconds(tmp_path / "straight" / "log.csv") == without_seconds(
        tmp_path / "broken" / "log.csv"
    )


def test_lines_after_the_checkpoint_and_an_incomplete_line_are_deleted(tmp_path: Path) -> None:
    with Log(tmp_path, Training(), SINGLE_PROCESS) as log:
        for step in (1, 2, 3):
            log.values("step", step, {"loss": float(step)})
        with open(tmp_path / "log.jsonl", "a") as file:
            file.write('{"kind": "st')
        assert [line["step"] for line in read_lines(tmp_path, "step")] == [1, 2, 3]
        log.forget_after(2)
        log.values("step", 3, {"loss": 30.0})
    assert [line["loss"] for line in read_lines(tmp_path, "step")] == [1.0, 2.0, 30.0]


def test_other_processes_write_only_their_own_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Log(tmp_path, Training(), OTHER) as log:
        log.say("hello")
        log.values("step", 1, {"loss": 1.0})
    assert capsys.readouterr().err == ""
    assert "hello" in (tmp_path / "logs" / "rank-1.txt").read_text()
    assert not (tmp_path / "log.jsonl").exists()


def test_a_failure_is_in_the_log_of_its_process(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Log(tmp_path, Training(), SINGLE_PROCESS):
        raise RuntimeError("the disk is gone")
    assert "the disk is gone" in (tmp_path / "logs" / "rank-0.txt").read_text()


@pytest.mark.parametrize("service", ["wandb", "mlflow"])
def test_a_missing_service_is_an_error_with_the_command_to_install_it(
    tmp_path: Path, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, service, None)
    with pytest.raises(UserError, match=rf"pip install 'segwright\[{service}\]'"):
        Log(tmp_path, Training(**{service: "project"}), SINGLE_PROCESS)


def test_a_resumed_run_continues_at_its_services_and_no_other_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: dict[str, list[Any]] = {"wandb": [], "mlflow": []}

    def init(**values: Any) -> Any:
        begun["wandb"].append(values["id"])
        return MagicMock()

    def start_run(run_id: str | None, run_name: str | None) -> Any:
        assert (run_id is None) == (run_name == "exp")
        begun["mlflow"].append(run_id or f"id {len(begun['mlflow'])}")
        return SimpleNamespace(info=SimpleNamespace(run_id=begun["mlflow"][-1]))

    monkeypatch.setitem(sys.modules, "wandb", MagicMock(init=init))
    monkeypatch.setitem(sys.modules, "mlflow", MagicMock(start_run=start_run))
    training = Training(wandb="project", mlflow="experiment")
    for folder in ("a/exp", "b/exp", "a/exp"):
        with Log(tmp_path / folder, training, SINGLE_PROCESS) as log:
            log.values("step", 1, {"loss": 1.0})
    for first, other, resumed in begun.values():
        assert first == resumed
        assert first != other


def test_the_timer_returns_seconds_per_step_and_the_fraction_of_waiting() -> None:
    timer = StepTimer()
    timer.add(2.0, 1.0)
    timer.add(4.0, 0.5)
    assert timer.read() == (3.0, 0.25)
    timer.add(1.0, 0.0)
    assert timer.read() == (1.0, 0.0)


def test_in_a_single_process_values_come_back_unchanged() -> None:
    with join("cpu") as processes:
        assert (processes.rank, processes.world, processes.main) == (0, 1, True)
        assert processes.gather("own") == ["own"]
        model = torch.nn.Linear(1, 1)
        assert processes.parallel(model) is model


def test_an_unknown_or_missing_device_is_refused() -> None:
    with pytest.raises(UserError, match="unknown device"):
        choose_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="finds no GPU; use --device cpu"):
            choose_device("cuda")
