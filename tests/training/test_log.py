from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from segwright.errors import UserError
from segwright.recipe import Training
from segwright.training.log import Log, StepTimer, read_lines
from segwright.training.processes import Processes, choose_device, join

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


def test_what_is_no_number_is_null(tmp_path: Path) -> None:
    with Log(tmp_path, Training(), SINGLE_PROCESS) as log:
        log.values("evaluation", 1, {"miou": float("nan")})
    assert json.loads((tmp_path / "log.jsonl").read_text())["miou"] is None


def test_lines_after_the_checkpoint_are_forgotten_and_half_a_line_too(tmp_path: Path) -> None:
    with Log(tmp_path, Training(), SINGLE_PROCESS) as log:
        for step in (1, 2, 3):
            log.values("step", step, {"loss": float(step)})
        with open(tmp_path / "log.jsonl", "a") as file:
            file.write('{"kind": "st')
        assert [line["step"] for line in read_lines(tmp_path, "step")] == [1, 2, 3]
        log.forget_after(2)
        log.values("step", 3, {"loss": 30.0})
    assert [line["loss"] for line in read_lines(tmp_path, "step")] == [1.0, 2.0, 30.0]


def test_other_processes_write_their_own_file_only(
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
        raise RuntimeError("the roof fell in")
    assert "the roof fell in" in (tmp_path / "logs" / "rank-0.txt").read_text()


@pytest.mark.parametrize("service", ["wandb", "mlflow"])
def test_a_service_that_is_not_installed_says_how_to_get_it(
    tmp_path: Path, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, service, None)
    with pytest.raises(UserError, match=rf"pip install 'segwright\[{service}\]'"):
        Log(tmp_path, Training(**{service: "project"}), SINGLE_PROCESS)


def test_the_clock_tells_seconds_a_step_and_the_share_waited() -> None:
    clock = StepTimer()
    clock.add(2.0, 1.0)
    clock.add(4.0, 0.5)
    assert clock.read() == (3.0, 0.25)
    clock.add(1.0, 0.0)
    assert clock.read() == (1.0, 0.0)


def test_alone_every_agreement_is_ones_own() -> None:
    with join("cpu") as processes:
        assert (processes.rank, processes.world, processes.main) == (0, 1, True)
        assert processes.gather("mine") == ["mine"]
        model = torch.nn.Linear(1, 1)
        assert processes.parallel(model) is model


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="unknown device"):
        choose_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="finds no GPU; use --device cpu"):
            choose_device("cuda")
