"""The folder of small files in which faults are made."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from tests.faults import files


@pytest.fixture(scope="session")
def right_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of ``files.write_files``, in which nothing is wrong."""
    root = tmp_path_factory.mktemp("right")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        files.write_files(root)
    return root


@pytest.fixture
def place(right_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of these files, as the current folder."""
    shutil.copytree(right_files, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    monkeypatch.setenv("SEGWRIGHT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in [name for name in sys.modules if name.startswith("code_")]:
        monkeypatch.delitem(sys.modules, name)  # own.py differs from test to test
    return tmp_path / "place"
