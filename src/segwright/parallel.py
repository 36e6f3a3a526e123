"""Apply a function to many items on all cores: in threads if it releases the interpreter lock, else in processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``work`` applied to every item, in order, on all cores; a few items are computed ahead."""
    yield from _in_order(ThreadPoolExecutor(available_cores()), work, items, ahead=2 * available_cores())


def map_in_processes(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[Result]:
    """``work`` applied to every item, in order, in ``workers`` processes; 0 uses the current process.

    ``work`` and its results must be picklable; ``work`` is sent to each process once.
    """
    if not workers:
        yield from map(work, items)
        return
    # A forked process starts at once and knows the classes of the user's own files. Elsewhere: the default method.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (work,))
    yield from _in_order(pool, _call, items, ahead=2 * workers)


def _in_order(
    pool: Executor, work: Callable[[Item], Result], items: Iterable[Item], *, ahead: int
) -> Iterator[Result]:
    remaining = iter(items)
    with pool:
        try:
            running = [pool.submit(work, item) for item in islice(remaining, ahead)]
            while running:
                yield running.pop(0).result()
                running.extend(pool.submit(work, item) for item in islice(remaining, 1))
        finally:
            pool.shutdown(cancel_futures=True)


_work: Callable[[Any], Any]


def _start_worker(work: Callable[[Any], Any]) -> None:
    import cv2

    global _work  # noqa: PLW0603 - a worker process has one task
    _work = work
    cv2.setNumThreads(0)  # the processes are the parallelism; threads inside them would compete for the cores


def _call(item: Any) -> Any:
    return _work(item)
