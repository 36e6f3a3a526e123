"""Commands in processes of their own, forked from a process that has imported torch: they start in milliseconds."""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path

from segwright.cli.main import main

_IMPORTS = [
    "torch.utils.tensorboard", "sympy", "torch._dynamo", "scipy.ndimage", "safetensors.torch", "rich.table",
    "segwright.training.train", "segwright.prediction.predict_files", "segwright.recipes", "segwright.cli.tables",
    "tests.forked", "tests.small",
]  # fmt: skip


def context() -> ForkServerContext:
    """Processes are forked from a server that has done the imports and has run nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTS)
    return context


class Command:
    """``segwright`` with these arguments, in a new session; the part of ``subprocess.Popen`` that tests use."""

    def __init__(self, arguments: Sequence[str], **environment: str) -> None:
        self._outputs = [_empty_file(), _empty_file()]
        values = ([*arguments], [str(path) for path in self._outputs], os.getcwd(), environment)
        self._process = context().Process(target=_run, args=values)
        self._process.start()
        self.pid = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the number of the signal that killed it; None while it runs."""
        code: int | None = self._process.exitcode
        return code

    @property
    def stdout(self) -> str:
        """What it has written to its standard output so far."""
        return self._outputs[0].read_text(encoding="utf-8", errors="replace")

    @property
    def stderr(self) -> str:
        """What it has written to its standard error so far."""
        return self._outputs[1].read_text(encoding="utf-8", errors="replace")

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float) -> int:
        """Its exit code; ``subprocess.TimeoutExpired`` if it runs longer than that."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("segwright", timeout, output=self.stdout, stderr=self.stderr)
        return self.returncode

    def communicate(self, timeout: float = 120) -> tuple[str, None]:
        """Wait for its end; what it wrote to its standard output, then to its standard error."""
        self.wait(timeout)
        text = self.stdout + self.stderr
        for path in self._outputs:
            path.unlink()
        return text, None


def _empty_file() -> Path:
    handle, name = tempfile.mkstemp(suffix=".txt")
    os.close(handle)
    return Path(name)


def _run(arguments: list[str], outputs: list[str], folder: str, environment: dict[str, str]) -> None:
    gc.freeze()  # a collection would look at, and so copy, all that the server has imported
    os.fsync = lambda handle: None  # as in tests/conftest.py
    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    for number, name in enumerate(outputs, start=1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    import torch

    torch.set_num_threads(1)
    try:
        sys.exit(main(arguments))
    finally:
        atexit._run_exitfuncs()  # a forked process skips them
