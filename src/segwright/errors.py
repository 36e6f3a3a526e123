"""The errors that explain themselves: the command line prints them as one line."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager


def one_line(text: str) -> str:
    """``text`` with escapes for line breaks and for characters that a console does not show, as ``repr`` has them.

    File names and the content of files reach messages: they must neither break the line nor control the terminal.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class UserError(ValueError):
    """Wrong use or wrong data (exit code 2): what was found, where, what was expected, what to do; one line."""

    def __init__(self, text: str = "", *details: object) -> None:
        super().__init__(one_line(text), *details)


class RunError(RuntimeError):
    """A run that failed for a known reason (exit code 1): what happened, where, what to do; one line."""

    def __init__(self, text: str = "", *details: object) -> None:
        super().__init__(one_line(text), *details)


_OF_DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@contextmanager
def refuse_damage(where: object, remedy: str) -> Iterator[None]:
    """``UserError`` for what goes wrong while the content of a file is used that somebody may have damaged.

    It is the last resort behind the checks that name line and value. ``where``: the file or folder.
    """
    try:
        yield
    except UserError:
        raise
    except _OF_DAMAGE as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"{where}: damaged ({reason}); {remedy}; --debug shows where it was read") from error


_MEMORY = (  # parts of messages of torch and OpenCV, which raise general errors
    "can't allocate memory", "not enough memory", "out of memory", "Insufficient memory", "bad_alloc",
    "Failed to allocate", "Storage size calculation overflowed", "Cannot allocate memory",
)  # fmt: skip
_SHARED_MEMORY = ("out of shared memory", "insufficient shared memory", "unable to open shared memory")
_PEER = ("onnection closed by peer", "onnection reset by peer", "eer closed", "remote process exited", "NCCL error",
         "Timed out waiting", "read timeout reached")  # fmt: skip
_KILLED = ("is killed by signal", "exited unexpectedly", "terminated abruptly")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy, torch or OpenCV says that memory is missing."""
    of_library = isinstance(error, RuntimeError | OSError) or type(error).__module__ == "cv2"
    return isinstance(error, MemoryError) or (of_library and any(part in str(error) for part in _MEMORY))


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise a ``MemoryError`` in place of the other errors that say that memory is missing (``is_out_of_memory``)."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error) and not isinstance(error, MemoryError):
            raise MemoryError(str(error)) from error
        raise


def run_error_of(error: BaseException) -> RunError | None:
    """The ``RunError`` that explains an error of a library: too little memory, or a worker that died; else None."""
    text = str(error)
    if isinstance(error, RuntimeError) and any(part in text for part in _SHARED_MEMORY):
        return RunError(
            "the worker processes have too little shared memory; use fewer of them (training.workers, --workers), or "
            "give the container more (docker run --shm-size=8g)"
        )
    if isinstance(error, RuntimeError) and any(part in text for part in _KILLED):
        return RunError(
            f"a worker process ended ({first_line(error)}); often there is too little memory: use fewer worker "
            "processes (training.workers, --workers), a smaller batch or smaller images"
        )
    if isinstance(error, RuntimeError) and any(part in text for part in _PEER):
        return RunError(
            f"another process of this run ended or does not answer ({first_line(error)}); its own message says why; "
            "the same command continues from the newest checkpoint"
        )
    if is_out_of_memory(error):
        return RunError(
            f"too little memory ({first_line(error)}); use a smaller batch, smaller crops or images, or fewer worker "
            "processes"
        )
    return None


_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS)
_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_full_disk(error: OSError) -> bool:
    """Whether an error says that a disk, a quota or a file has no room left."""
    return error.errno in _SPACE


def explained(error: Exception) -> Exception:
    """The error of this module that explains ``error``; ``error`` itself if it explains itself, or nothing does."""
    run_error = run_error_of(error)
    if run_error is not None or isinstance(error, UserError | RunError) or not isinstance(error, OSError):
        return run_error or error
    text = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    if is_full_disk(error):
        return RunError(f"{text}; free some space or choose another folder, then start again")
    if error.errno == errno.EMFILE:
        return RunError(f"{text}; allow more open files (ulimit -n), or use fewer workers")
    if error.errno in _ACCESS:
        return UserError(f"{text}; choose a file or folder that you may use, or change its permissions")
    return UserError(text)


def first_line(error: BaseException) -> str:
    """The first line of the text of an error, at most 200 characters; the name of its type if it has no text."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
