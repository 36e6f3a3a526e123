"""Work on all cores: in threads if it releases the interpreter lock, else in processes; how processes are started."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from segwright.config.user_code import CODE_PREFIX, import_file
from segwright.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")
Value = TypeVar("Value")

START_METHOD = "SEGWRIGHT_START_METHOD"
"""The environment variable that sets how worker processes are started: "fork", "spawn" or "forkserver"."""
STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
"""They ask a training or a prediction to save and end: timeout, Ctrl-C, a closing terminal, SLURM, submitit."""


def start_method() -> str | None:
    """How worker processes are started; None: the default of the system.

    Linux forks: a forked worker starts at once and knows the classes of the user's own files.
    """
    return os.environ.get(START_METHOD) or ("fork" if sys.platform == "linux" else None)


@dataclass(frozen=True)
class Portable(Generic[Value]):
    """A value that a spawned process can read, also if its class is defined in a file that the user named."""

    value: Value

    def __reduce__(self) -> tuple[Any, ...]:
        """The user's files first, then the value. Files that are gone cannot be read again, and are left out."""
        files = {
            name: module.__file__
            for name, module in [*sys.modules.items()]
            if name.startswith(CODE_PREFIX) and module.__file__ and Path(module.__file__).is_file()
        }
        try:
            return _restored, (files, pickle.dumps(self.value))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UserError(
                f"worker processes cannot be started ({error}); define classes and functions at the top level of a "
                "file, or use no worker processes (training.workers=0)"
            ) from None


def _restored(files: dict[str, str], data: bytes) -> Portable[Any]:
    for name, path in files.items():
        if name not in sys.modules:
            import_file(name, Path(path))
    return Portable(pickle.loads(data))


@contextmanager
def signals_blocked() -> Iterator[None]:
    """The ``STOP_SIGNALS`` wait until the end of the block; processes that are started in it keep them blocked."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_signals() -> None:
    """In a worker: leave signals that reach the whole process group to the parent; it ends its workers.

    Else a worker would die first, and the parent could not finish its step and save.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def available_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_threads(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int | None = None,
    start: Callable[[], object] = lambda: None,
) -> Iterator[Result]:
    """``work`` applied to every item, in order, in ``threads`` (default: one per core), a few items ahead.

    ``items`` are made in the calling thread. If that fails, or ``work`` does, the results of all items before come
    first. ``start`` is called once in every thread.
    """
    count = threads or available_cores()
    yield from _in_order(ThreadPoolExecutor(count, initializer=start), work, items, ahead=2 * count)


def map_in_processes(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[Result]:
    """``work`` applied to every item, in order, in ``workers`` processes; 0 uses the current process.

    ``work`` and its results must be picklable; ``work`` is sent to each process once.
    """
    if not workers:
        yield from map(work, items)
        return
    context = multiprocessing.get_context(start_method())
    pool = ProcessPoolExecutor(workers, context, _start_worker, (Portable(work),))
    yield from _in_order(pool, _call, items, ahead=2 * workers)


def _in_order(
    pool: Executor, work: Callable[[Item], Result], items: Iterable[Item], *, ahead: int
) -> Iterator[Result]:
    remaining = iter(items)
    running: deque[Future[Result]] = deque()
    failure: BaseException | None = None
    with pool:
        try:
            while True:
                try:
                    item = next(remaining)
                except BaseException as error:  # raised below, after the results of the items before
                    failure = error
                    break
                with signals_blocked():  # workers start here
                    running.append(pool.submit(work, item))
                del item
                if len(running) > ahead:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
    if not isinstance(failure, StopIteration):
        assert failure is not None
        raise failure


_work: Callable[[Any], Any]


def _start_worker(work: Portable[Callable[[Any], Any]]) -> None:
    import cv2

    global _work  # noqa: PLW0603 - a worker process has one task
    _work = work.value
    ignore_signals()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(0)  # the processes are the parallelism; threads inside them would compete for the cores


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _call(item: Any) -> Any:
    return _work(item)
