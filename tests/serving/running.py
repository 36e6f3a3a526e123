"""``segwright serve`` in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def server(
    model: Path, *arguments: object, **environment: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its address and its process; it listens on a free port and is ended after the block if it runs still."""
    command = [sys.executable, "-m", "segwright", "serve", str(model), "--port", "0", *map(str, arguments)]
    values: Any = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=values)
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        match = re.search(r"http://\S+", line)
        assert match, line + process.stderr.read()
        yield match.group(), process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
