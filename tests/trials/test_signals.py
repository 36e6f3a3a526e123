"""A signal that reaches the whole process group (timeout, scancel, systemd, Ctrl-C) ends a training that is saved."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import small
from tests.forked import Command

from segwright.data.loading.batches import load_batches
from segwright.parallel import map_in_processes
from segwright.training.processes import interrupts

RECIPE = f"{Path(small.__file__)}:recipe"
CHANGES = ("training.steps=100000", "training.workers=1", "training.save_every=0.00003",
           "training.evaluate_every=1.0", "training.log_every=0.001")  # fmt: skip


def start(out: Path, world: int) -> list[Command]:
    """A training of ``world`` processes with a worker each; every one leads a process group of its own."""
    words = ["train", RECIPE, "--out", str(out), "--device", "cpu", "--set", *CHANGES]
    if world == 1:
        return [Command(words)]
    group = {
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(29531 + os.getpid() % 999),
    }
    return [Command(words, RANK=str(rank), LOCAL_RANK=str(rank), **group) for rank in range(world)]


@pytest.mark.parametrize(
    ("number", "world", "times"),
    [(signal.SIGTERM, 1, 1), pytest.param(signal.SIGINT, 2, 2, marks=pytest.mark.slow)],
)
def test_a_signal_to_the_whole_group_saves_the_run_and_exits_with_zero(
    tmp_path: Path, number: signal.Signals, world: int, times: int
) -> None:
    running = start(tmp_path, world)
    until = time.monotonic() + 90
    while not [*tmp_path.glob("checkpoints/step-*.pt")]:
        assert time.monotonic() < until and all(process.poll() is None for process in running)
        time.sleep(0.01)
    for _ in range(times):  # torchrun sends a signal on to processes that the terminal has told already
        for process in running:
            os.killpg(process.pid, number)
        time.sleep(0.02)
    for process in running:
        text, _ = process.communicate(timeout=90)
        assert process.returncode == 0, text
        assert "Traceback" not in text
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert not summary["finished"]
    assert sorted(tmp_path.glob("checkpoints/step-*.pt"))[-1].stem == f"step-{summary['step']:08d}"


def signal_own_process(number: int) -> int:
    os.kill(os.getpid(), number)
    return os.getpid()


@pytest.mark.parametrize(
    ("number", "method"),
    [
        (signal.SIGTERM, "fork"),
        (signal.SIGINT, "fork"),
        pytest.param(signal.SIGTERM, "spawn", marks=pytest.mark.slow),
    ],
)
def test_workers_leave_signals_to_the_parent(
    number: int, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGWRIGHT_START_METHOD", method)
    results = map_in_processes(signal_own_process, [number] * 3, workers=1)
    assert len({*results} | {os.getpid()}) == 2
    numbers = [[number]] * 3
    batches: Iterator[list[int]] = load_batches(Signals(), numbers, list, workers=1)
    assert len({pid for batch in batches for pid in batch} | {os.getpid()}) == 2


class Signals:
    def __getitem__(self, index: int) -> int:
        return signal_own_process(index)


def test_a_second_ctrl_c_ends_at_once_but_not_one_that_was_sent_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with interrupts() as received:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert received == [signal.SIGINT, signal.SIGINT, signal.SIGTERM]
        now[0] += 3
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
