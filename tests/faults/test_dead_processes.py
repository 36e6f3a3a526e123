"""A process that dies ends the run with the reason; signals save and end it; torchrun starts it again."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests import small
from tests.faults.children import children_of, run, start, wait_for

pytestmark = pytest.mark.faults

RECIPE = f"{Path(small.__file__)}:recipe"
LONG = ("training.steps=100000", "training.save_every=0.00005", "training.evaluate_every=1.0",
        "training.log_every=0.001", "training.keep_checkpoints=2")  # fmt: skip


def train(out: Path, *settings: str, options: tuple[str, ...] = ()) -> list[str]:
    return ["train", RECIPE, "--out", str(out), "--device", "cpu", *options, "--set", *LONG, *settings]


def checkpoints(out: Path) -> list[Path]:
    return sorted(out.glob("checkpoints/step-*.pt"))


def test_a_dead_loader_process_ends_the_training_within_a_minute(tmp_path: Path) -> None:
    process = start(train(tmp_path, "training.workers=2"), tmp_path / "log.txt")
    wait_for(lambda: checkpoints(tmp_path), process)
    assert process.pid
    os.kill(children_of(process.pid)[-1], signal.SIGKILL)
    process.join(60)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert process.exitcode == 1, lines[-3:]
    assert lines[-1].startswith("segwright: a worker process ended ("), lines[-3:]
    assert "training.workers" in lines[-1]


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGHUP"])
def test_signals_of_schedulers_save_the_run_and_end_it_with_the_chosen_code(
    name: str, tmp_path: Path
) -> None:
    command = train(tmp_path, "training.workers=1", options=("--stopped-code", "75"))
    process = start(command, tmp_path / "log.txt")
    wait_for(lambda: checkpoints(tmp_path), process)
    assert process.pid
    os.killpg(process.pid, getattr(signal, name))  # also the loader process, as SLURM does
    process.join(60)
    text = (tmp_path / "log.txt").read_text()
    assert process.exitcode == 75, text
    assert "Traceback" not in text
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert not summary["finished"]
    assert checkpoints(tmp_path)[-1].stem == f"step-{summary['step']:08d}"


def test_a_hangup_that_is_ignored_does_not_stop_a_training(tmp_path: Path) -> None:
    command = ["nohup", sys.executable, "-m", "segwright", *train(tmp_path, "training.workers=0")]
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + 120
        for _ in range(2):
            count = len({*checkpoints(tmp_path)})
            seen = {*checkpoints(tmp_path)}
            while not {*checkpoints(tmp_path)} - seen:
                assert time.monotonic() < until and process.poll() is None, count
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGHUP)
    finally:
        process.kill()
        process.wait()


def test_a_signal_at_any_moment_leaves_a_run_that_resumes(tmp_path: Path) -> None:
    settings = ("training.workers=0", "training.steps=60", "training.save_every=0.1")
    moments = random.Random(5)
    for number in range(8):
        process = start(train(tmp_path, *settings), tmp_path / "log.txt")
        process.join(moments.uniform(0, 1.5))
        assert process.pid
        chosen = moments.choice([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
        if process.exitcode is None:
            os.kill(process.pid, chosen)
        process.join(60)
        # Before the training begins a signal has its usual effect; Ctrl-C is told in one line.
        assert process.exitcode in (0, 1, -chosen), number
    assert run(train(tmp_path, *settings), tmp_path) == 0
    assert json.loads((tmp_path / "summary.json").read_text())["finished"]
    assert "Traceback" not in (tmp_path / "log.txt").read_text()


def torchrun(out: Path, *options: str) -> subprocess.Popen[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1",
               "--master-port", str(port), *options, "-m", "segwright"]  # fmt: skip
    steps = ("training.workers=0", "training.steps=400", "training.save_every=0.02")
    return subprocess.Popen(
        [*command, *train(out, *steps)], env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for_checkpoint(process: subprocess.Popen[str], out: Path) -> None:
    until = time.monotonic() + 180
    while not checkpoints(out):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.02)


@pytest.mark.slow  # a minute, and Gloo does not always connect the restarted processes
def test_torchrun_goes_on_after_a_process_died(tmp_path: Path) -> None:
    process = torchrun(tmp_path, "--max-restarts", "2")
    try:
        wait_for_checkpoint(process, tmp_path)
        os.kill(children_of(process.pid)[1], signal.SIGKILL)
        text, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, text[-3000:]
    assert "resumed at step" in text
    assert json.loads((tmp_path / "summary.json").read_text())["finished"]


def test_a_process_whose_peer_died_ends_with_the_reason(tmp_path: Path) -> None:
    """Without torchrun, which would end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []
    for rank in range(2):
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "segwright", *train(tmp_path, "training.workers=0")],
                env=environment | {name: str(value) for name, value in names.items()},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
        )  # fmt: skip
    try:
        wait_for_checkpoint(running[0], tmp_path)
        running[1].kill()
        text, _ = running[0].communicate(timeout=60)
    finally:
        for process in running:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
    assert running[0].returncode == 1, text[-3000:]
    assert "Traceback" not in text
    assert "segwright: another process of this run ended" in text, text[-3000:]
