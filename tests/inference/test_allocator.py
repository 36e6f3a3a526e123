"""The memory allocator during a training, an evaluation or a prediction."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

import pytest
import torch

from segwright.inference.allocator import KEEPING, RETURNING, keep_freed_memory

CPU = torch.device("cpu")


class Library:
    """A C library that remembers what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def mallopt(self, name: int, value: int) -> int:
        self.calls.append((name, value))
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.calls.append((0, pad))
        return 1


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    fake = Library()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: fake)
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_"))]:
        monkeypatch.delenv(name)
    return fake


def test_memory_is_kept_during_the_training_and_returned_after_it(library: Library) -> None:
    with pytest.raises(KeyError), keep_freed_memory(CPU) as kept:
        assert kept
        assert library.calls == [*KEEPING.items()]
        raise KeyError
    assert library.calls == [*KEEPING.items(), *RETURNING.items(), (0, 0)]


def test_an_evaluation_within_a_training_returns_no_memory(library: Library) -> None:
    with keep_freed_memory(CPU):
        with keep_freed_memory(CPU):
            pass
        assert library.calls == [*KEEPING.items()]
    assert library.calls == [*KEEPING.items(), *RETURNING.items(), (0, 0)]


@pytest.mark.parametrize("setting", ["device", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "platform", "library"])
def test_the_allocator_is_left_alone(library: Library, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    device = torch.device("cuda") if setting == "device" else CPU
    if setting == "platform":
        monkeypatch.setattr(sys, "platform", "darwin")
    elif setting == "library":  # musl
        other: Any = object()
        monkeypatch.setattr(ctypes, "CDLL", lambda _: other)
    elif setting != "device":
        monkeypatch.setenv(setting, "1")
    with keep_freed_memory(device) as kept:
        assert not kept
    assert library.calls == []
