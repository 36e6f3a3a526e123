"""Commands in processes of their own, forked from a process that has imported torch: they start in milliseconds."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.context import BaseContext
from pathlib import Path

from segwright.cli.main import main

_IMPORTS = [
    "torch.utils.tensorboard", "sympy", "torch._dynamo", "scipy.ndimage", "safetensors.torch", "rich.table",
    "segwright.training.train", "segwright.prediction.predict_files", "segwright.recipes", "segwright.cli.tables",
    "tests.forked", "tests.small",
]  # fmt: skip


def context() -> BaseContext:
    """Processes are forked from a server that has done the imports and has run nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTS)
    return context


class Command:
    """``segwright`` with these arguments, in a new session; the part of ``subprocess.Popen`` that tests use.

    Its standard output and standard error are one text.
    """

    def __init__(self, arguments: Sequence[str], **environment: str) -> None:
        handle, name = tempfile.mkstemp(suffix=".txt")
        os.close(handle)
        self._output = Path(name)
        self._process = context().Process(target=_run, args=([*arguments], name, os.getcwd(), environment))  # type: ignore[attr-defined]
        self._process.start()
        self.pid = int(self._process.pid)

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the number of the signal that killed it; None while it runs."""
        code: int | None = self._process.exitcode
        return code

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = 120) -> tuple[str, None]:
        """Wait for its end; what it wrote."""
        self._process.join(timeout)
        text = self._output.read_text(encoding="utf-8", errors="replace")
        if self.returncode is None:
            raise subprocess.TimeoutExpired("segwright", timeout, output=text)
        self._output.unlink()
        return text, None


def _run(arguments: list[str], output: str, folder: str, environment: dict[str, str]) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    handle = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    import torch

    torch.set_num_threads(1)
    sys.exit(main(arguments))
