"""What a request may cost, and how many requests are in the server at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from segwright.errors import UserError

_MAX_RETRY = 60


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on requests.

    ``requests``: accepted and not yet answered, at most; ``bytes`` and ``pixels`` of an image, at most; ``seconds``
    from the first byte of a request to its answer, at most. ``UserError`` for values that are not positive.
    """

    requests: int = 32
    bytes: int = 32 * 2**20
    pixels: int = 2**25
    seconds: float = 60.0

    def __post_init__(self) -> None:
        """Check the values."""
        options = {"requests": "queue", "bytes": "max-bytes", "pixels": "max-pixels", "seconds": "timeout"}
        for name, option in options.items():
            value = getattr(self, name)
            if not (value >= (0.001 if name == "seconds" else 1) and math.isfinite(value)):
                raise UserError(f"--{option} {value:g}: expected a positive number")


class FullError(Exception):
    """As many requests as ``Limits.requests`` are in the server; ``retry`` is when to try again, in seconds."""

    def __init__(self, retry: int) -> None:
        super().__init__(f"too many requests at a time; try again in {retry} s")
        self.retry = retry


@dataclass(slots=True)
class Admission:
    """Counts the requests in the server; used by one thread, that of the event loop.

    ``seconds``: the average time between two answers while requests wait, from which ``FullError.retry`` is computed.
    """

    limit: int
    admitted: int = 0
    seconds: float = field(default=1.0)

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count a request during the block; ``FullError`` if there are too many."""
        if self.admitted >= self.limit:
            raise FullError(min(_MAX_RETRY, max(1, math.ceil(self.admitted * self.seconds))))
        self.admitted += 1
        try:
            yield
        finally:
            self.admitted -= 1

    def answered(self, seconds: float) -> None:
        """Take the time that the model took for one image into the average."""
        self.seconds += 0.1 * (seconds - self.seconds)
