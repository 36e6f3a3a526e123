from __future__ import annotations

import pytest

from segwright.models.weights import sources
from segwright.suggestion.machine import measure_machine


def test_the_machine_says_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segwright.suggestion.machine.available", lambda name: False)
    machine = measure_machine("cpu")
    assert machine.device == "cpu"
    assert machine.memory > 0
    assert machine.cores >= 1
    assert machine.weights == ()


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("reachable", [True, False])
def test_weights_are_available_here_or_from_a_hub_that_answers(
    here: bool, reachable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(name: str, url: str) -> None:
        if not reachable:
            raise sources.unreachable(name, OSError("no route"))

    monkeypatch.setattr(sources, "available_offline", lambda name: here)
    monkeypatch.setattr(sources, "_check_connection", connect)
    assert sources.available("convnext_tiny") == (here or reachable)
    assert not sources.available("no_such_network") or here
