"""Fixtures of all tests: the folder of real data, and one thread per process; garbage of the imports is kept."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import hypothesis
import pytest

import checker

checker.check_fast()
REPOSITORY = Path(__file__).resolve().parents[1]

# Other load on the machine makes no test fail.
hypothesis.settings.register_profile(
    "any load", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any load")


def pytest_configure() -> None:
    gc.disable()  # imports make a million objects that stay
    os.fsync = lambda handle: None  # no file of a test must survive a power cut, and a disk takes its time


def pytest_collection_finish() -> None:
    gc.freeze()  # no later collection looks at them again: it would take half a second
    gc.enable()


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
    # Not in the process that distributes the tests: the others would wait for it.
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
