"""Tests with a number of worker processes run with both ways to start them: fork (Linux), spawn (macOS, Windows)."""

from __future__ import annotations

import pytest

from segwright.parallel import START_METHOD


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes ``workers`` runs twice; a spawned process imports everything anew, so that is slow."""
    if "workers" in metafunc.fixturenames:
        metafunc.fixturenames.append("start_method")
        methods = ["fork", pytest.param("spawn", marks=pytest.mark.slow)]
        metafunc.parametrize("start_method", methods, indirect=True)


@pytest.fixture
def start_method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(START_METHOD, request.param)
