"""Fixtures of all tests: the folder of real data, and one thread per process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with photographs and published samples (``SEGWRIGHT_SHARED``, default ``../shared``)."""
    folder = Path(os.environ.get("SEGWRIGHT_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set SEGWRIGHT_SHARED")
    return folder


@pytest.fixture(scope="session")
def camvid(shared: Path) -> Path:
    """CamVid, train and val."""
    folder = shared / "data" / "camvid"
    if not folder.is_dir():
        pytest.skip(f"no CamVid at {folder}")
    return folder


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)
