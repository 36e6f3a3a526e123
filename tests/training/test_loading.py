"""The data of a training."""

from __future__ import annotations

import pytest
import torch
from tests import small

from segwright.data.loading import batches
from segwright.training.loading import num_workers
from segwright.training.processes import Processes


def test_the_processes_of_one_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "available_cores", lambda: 32)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    recipe, processes = small.recipe(), Processes(0, 16, torch.device("cuda"))
    recipe.training.workers = None
    assert num_workers(recipe, processes) == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")  # two machines
    assert num_workers(recipe, processes) == 3
    recipe.training.workers = 5
    assert num_workers(recipe, processes) == 5
