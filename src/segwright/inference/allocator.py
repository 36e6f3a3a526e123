"""The memory allocator on a CPU under Linux: freed memory is kept for the next step or image."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# From malloc.h of the GNU C library.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -2, -3, -4
KEEPING = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 64 << 20}
# What the library itself changes its settings to, at most, in programs with large arrays.
RETURNING = {M_MMAP_MAX: 65536, M_TRIM_THRESHOLD: 64 << 20, M_TOP_PAD: 0, M_MMAP_THRESHOLD: 32 << 20}


_lock = threading.Lock()
_open: list[Any] = []
"""The library of each open context: more than one if an evaluation is part of a training."""


@contextmanager
def keep_freed_memory(device: torch.device) -> Iterator[bool]:
    """Within the context the C library keeps memory that this process frees; whether it does. Only for a CPU.

    Otherwise each step or image returns large tensors to the system and gets them back page by page, which takes up to
    a fifth of the time on a virtual machine. Variables ``MALLOC_...`` and ``GLIBC_TUNABLES`` of the environment have
    precedence. At the end of the outermost context the memory is returned.
    """
    library = _library() if device.type == "cpu" else None
    if library is None:
        yield False
        return
    with _lock:
        if not _open:
            _set(library, KEEPING)
        _open.append(library)
    try:
        yield True
    finally:
        with _lock:
            _open.pop()
            if not _open:
                _set(library, RETURNING)
                library.malloc_trim(0)


def _library() -> Any:
    """The C library, None if its allocator has no such settings or the environment has its own."""
    if not sys.platform.startswith("linux"):
        return None
    if "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def _set(library: Any, settings: dict[int, int]) -> None:
    for name, value in settings.items():
        library.mallopt(name, value)
