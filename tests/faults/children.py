"""Commands in processes that are killed. They are forked from a process that has imported torch already."""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from segwright.cli.main import main

_IMPORTS = [
    "torch.utils.tensorboard", "sympy", "torch._dynamo", "safetensors.torch", "rich.table", "imagecodecs",
    "pycocotools.mask", "segwright.training.train", "segwright.prediction.predict_files", "segwright.recipes",
    "segwright.importers", "segwright.cli.tables", "tests.faults.children", "tests.small",
]  # fmt: skip


def start(
    arguments: Sequence[str], log: Path, *, die_at: tuple[str, int, float] | None = None, bound: bool = False
) -> BaseProcess:
    """A command in a process that leads a group of its own; its output goes to the file ``log``.

    ``die_at``: function, number of the call and seconds after which the process kills itself (SIGKILL). ``bound``:
    also a root is bound by the permissions of files.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTS)
    process = context.Process(target=_run, args=([*arguments], log, die_at, bound))
    process.start()
    return process


def _run(arguments: list[str], log: Path, die_at: tuple[str, int, float] | None, bound: bool) -> None:
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup, which ignores it
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    import torch

    torch.set_num_threads(1)
    if die_at is not None:
        _die_at(*die_at)
    if bound and os.geteuid() == 0:
        _give_up_override()
    sys.exit(main(arguments))


def _give_up_override() -> None:
    """Without the capabilities CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, bits 1 and 2."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice 32 bits
    library = ctypes.CDLL(None, use_errno=True)
    assert library.capget(header, sets) == 0
    for index in range(3):
        sets[index] &= ~0b110
    assert library.capset(header, sets) == 0


def _die_at(name: str, number: int, delay: float) -> None:
    """Kill this process ``delay`` seconds after the call ``number`` of the function ``name`` began."""
    module, attribute = name.rsplit(":", 1)
    owner: Any = importlib.import_module(module.split("/")[0])
    for part in module.split("/")[1:]:
        owner = getattr(owner, part)
    function: Callable[..., Any] = getattr(owner, attribute)
    count = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            if delay == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return function(*arguments, **options)

    setattr(owner, attribute, counted)


def kill_at_random_moments(
    arguments: Sequence[str], log: Path, points: Mapping[str, int], *, kills: int, seed: int
) -> list[int]:
    """Run a command ``kills`` times and kill it each time; the exit codes.

    ``points``: functions as "module:function" or "module/class:method", and the most calls that a life lasts.
    """
    moments = random.Random(seed)
    codes = []
    for _ in range(kills):
        name = moments.choice([*points])
        moment = (name, moments.randint(1, points[name]), moments.choice([0.0, moments.uniform(0, 0.03)]))
        process = start(arguments, log, die_at=moment)
        process.join(120)
        codes.append(-999 if process.exitcode is None else process.exitcode)
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
