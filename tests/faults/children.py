"""Commands in processes that are killed. They are forked from a process that has imported torch already."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from segwright import files
from segwright.cli.main import main

_IMPORTS = [
    "segwright.training.train",
    "segwright.prediction.predict_files",
    "tests.faults.children",
    "tests.small",
]


def start(arguments: Sequence[str], log: Path, *, die_at: tuple[str, int] | None = None) -> BaseProcess:
    """A command in a process that leads a group of its own; its output goes to the file ``log``.

    ``die_at``: the process kills itself (SIGKILL) at the N-th call of a function of ``POINTS``.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTS)
    process = context.Process(target=_run, args=([*arguments], log, die_at))
    process.start()
    return process


def _run(arguments: list[str], log: Path, die_at: tuple[str, int] | None) -> None:
    os.setsid()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    import torch

    torch.set_num_threads(1)
    if die_at is not None:
        _die_at(*die_at)
    sys.exit(main(arguments))


def _die_at(name: str, number: int) -> None:
    """Kill this process at a call of ``name``: before it if ``number`` is even, after it if it is odd."""
    owner, attribute = POINTS[name]
    function: Callable[..., Any] = getattr(owner, attribute)
    count = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == number and number % 2 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, attribute, counted)


POINTS = {
    "replace": (os, "replace"),
    "fsync": (os, "fsync"),
    "atomic write": (files, "_replace"),
    "write": (os, "write"),
}


def kill_at_random_moments(
    arguments: Sequence[str], folder: Path, *, kills: int, seed: int, longest: float
) -> list[int]:
    """Run a command again and again, and kill it ``kills`` times; the exit codes.

    Two of three are killed after at most ``longest`` seconds, the third where it writes.
    """
    moments = random.Random(seed)
    codes: list[int] = []
    while codes.count(-signal.SIGKILL) < kills:
        assert len(codes) < 3 * kills, codes
        timed = len(codes) % 3 != 2
        point = None if timed else (moments.choice([*POINTS]), moments.randrange(1, 12))
        process = start(arguments, folder / "log.txt", die_at=point)
        if timed:
            process.join(moments.uniform(0.0, longest))
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid or 0, signal.SIGKILL)
        process.join(120)
        codes.append(-999 if process.exitcode is None else process.exitcode)
        if process.exitcode == 0:
            break  # it is finished
    return codes


def run(arguments: Sequence[str], folder: Path, *, seconds: float = 120) -> int:
    """The exit code of a command that is left alone."""
    process = start(arguments, folder / "log.txt")
    process.join(seconds)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def wait_for(condition: Callable[[], object], process: BaseProcess, seconds: float = 90) -> None:
    """Until ``condition`` is true; the process must run that long."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until and process.exitcode is None
        time.sleep(0.01)


def children_of(process: int) -> list[int]:
    """The process ids of the children of a process."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(number) for task in tasks for number in task.read_text().split()]
