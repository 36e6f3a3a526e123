"""The memory of a machine, and the largest amount of work that fits it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")  # version 2: in a container, its own limits


def total_memory() -> int | None:
    """The bytes of memory of this machine; None on Windows, which does not tell them to Python."""
    if not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def available_memory() -> int:
    """The bytes of memory that are free, for a container within its limit; 4 GiB where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 4 * 2**30
    with suppress(OSError, ValueError, KeyError):  # no container, or no limit: "max"
        limit, used = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        counts = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        free = min(free, max(0, limit - used + int(counts["inactive_file"])))  # the cache of files gives way
    return free


def largest_fitting(fits: Callable[[int], bool], limit: int, *, tolerance: float = 0.0) -> tuple[int, int]:
    """The largest number up to ``limit`` for which ``fits`` is true, 0 if none is, and the smallest one that failed.

    Numbers are doubled until one fails, then bisected to a gap of 1, or of the fraction ``tolerance`` of the number.
    Without a failure the second number is ``limit + 1``.
    """
    largest, failed = 0, 1
    while failed <= limit and fits(failed):
        largest, failed = failed, 2 * failed
    failed = min(failed, limit + 1)
    while failed - largest > max(1, int(largest * tolerance)):
        middle = (largest + failed) // 2
        largest, failed = (middle, failed) if fits(middle) else (largest, middle)
    return largest, failed
