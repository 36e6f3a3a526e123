"""``segwright serve`` in a process of its own."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.forked import Command


@contextmanager
def server(model: Path, *arguments: object, **environment: str) -> Iterator[tuple[str, Command]]:
    """Its address and its process; it listens on a free port and is ended after the block if it runs still."""
    process = Command(["serve", str(model), "--port", "0", *map(str, arguments)], **environment)
    try:
        yield _address(process), process
    finally:
        process.kill()
        process.communicate()


def _address(process: Command) -> str:
    until = time.monotonic() + 90
    while not (match := re.search(r"http://\S+(?=\s)", process.stdout)):
        assert time.monotonic() < until and process.poll() is None, process.stdout + process.stderr
        time.sleep(0.01)
    return match.group()
