"""torchrun with two processes: a signal to it, to one of its processes, or to all of them ends in a saved run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests import small

pytestmark = pytest.mark.slow

COMMAND = [
    sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1",
    "-m", "segwright", "train", f"{Path(small.__file__)}:recipe", "--device", "cpu",
]  # fmt: skip
LONG = ["training.steps=100000", "training.workers=1", "training.save_every=0.00005",
        "training.evaluate_every=1.0", "training.log_every=0.001"]  # fmt: skip


def torchrun(out: Path, port: int, *settings: str) -> subprocess.Popen[str]:
    command = [*COMMAND[:5], "--master-port", str(port), *COMMAND[5:]]
    return subprocess.Popen(
        [*command, "--out", str(out), "--set", *LONG, *settings],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def trainings_of(parent: int) -> list[int]:
    """The process ids of the trainings that torchrun started."""
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(number) for number in text.split()]


def steps(out: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("step-")) for path in out.glob("checkpoints/step-*.pt"))


def wait_for_checkpoint(running: subprocess.Popen[str], out: Path, after: int = 0) -> None:
    until = time.monotonic() + 120
    while not any(step > after for step in steps(out)):
        assert time.monotonic() < until and running.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("target", ["torchrun", "one process", "group"])
def test_a_signal_saves_the_run_which_resumes(tmp_path: Path, target: str, number: signal.Signals) -> None:
    port = 20000 + os.getpid() % 9000 + int(number)
    running = torchrun(tmp_path, port)
    wait_for_checkpoint(running, tmp_path)
    if target == "torchrun":
        os.kill(running.pid, number)
    elif target == "one process":
        os.kill(trainings_of(running.pid)[1], number)
    else:
        os.killpg(running.pid, number)
    text, _ = running.communicate(timeout=120)
    print(text[-3000:])
    if target == "one process":  # torchrun itself reports a signal that it gets as a failure of its own
        assert running.returncode == 0, text
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert not summary["finished"]
    assert (
        steps(tmp_path)[-1] == summary["step"]
    )  # the last step is saved, not only the last regular checkpoint

    resumed = torchrun(tmp_path, port + 1, "training.keep_checkpoints=3")
    wait_for_checkpoint(resumed, tmp_path, after=summary["step"])
    os.kill(trainings_of(resumed.pid)[0], signal.SIGTERM)
    text, _ = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, text
    assert f"resumed at step {summary['step']}" in text
