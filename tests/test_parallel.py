"""Work in threads: results in order, a bounded number ahead, and nothing lost before a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from segwright.parallel import map_in_threads


def test_results_come_in_order_and_a_bounded_number_ahead() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            begun.append(number)
            yield number

    def slow_at_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * number

    results = map_in_threads(slow_at_first, items(), threads=3)
    assert next(results) == 0
    assert len(begun) <= 2 * 3 + 1
    assert list(results) == [number * number for number in range(1, 50)]


def test_the_results_before_a_failure_come_first() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise KeyboardInterrupt

    results = []
    with pytest.raises(KeyboardInterrupt):
        results.extend(map_in_threads(str, items(), threads=2))
    received = []
    with pytest.raises(ZeroDivisionError):
        for value in map_in_threads(lambda number: 6 // (3 - number), range(9), threads=2):
            received.append(value)
    assert received == [2, 3, 6]


def test_every_thread_is_prepared_once() -> None:
    prepared: list[int] = []
    list(map_in_threads(str, range(20), threads=2, start=lambda: prepared.append(threading.get_ident())))
    assert 1 <= len(prepared) <= 2
    assert threading.get_ident() not in prepared
