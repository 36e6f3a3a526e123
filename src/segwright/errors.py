"""The errors that explain themselves: the command line prints them as one line."""

from __future__ import annotations


class UserError(ValueError):
    """Wrong use or wrong data (exit code 2): what was found, where, what was expected, what to do."""


class RunError(RuntimeError):
    """A run that failed for a known reason (exit code 1): what happened, where, what to do."""


_MEMORY = (  # parts of messages of torch and OpenCV, which raise general errors
    "can't allocate memory", "not enough memory", "out of memory", "Insufficient memory", "bad_alloc",
    "Failed to allocate", "Storage size calculation overflowed", "Cannot allocate memory",
)  # fmt: skip
_SHARED_MEMORY = ("out of shared memory", "insufficient shared memory", "unable to open shared memory")
_KILLED = ("is killed by signal", "exited unexpectedly", "terminated abruptly")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy, torch or OpenCV says that memory is missing."""
    of_library = isinstance(error, RuntimeError | OSError) or type(error).__module__ == "cv2"
    return isinstance(error, MemoryError) or (of_library and any(part in str(error) for part in _MEMORY))


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
            f"a worker process ended ({_first_line(error)}); often there is too little memory: use fewer worker "
            "processes (training.workers, --workers), a smaller batch or smaller images"
        )
    if is_out_of_memory(error):
        return RunError(
            f"too little memory ({_first_line(error)}); use a smaller batch, smaller crops or images, or fewer worker "
            "processes"
        )
    return None


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
