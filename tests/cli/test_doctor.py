"""The verb doctor: what this machine has and lacks."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from segwright.analysis.environment import _shared_memory, environment
from segwright.cli.main import main


def test_doctor_says_what_is_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", str(tmp_path / "doctor.json")]) == 0
    printed = capsys.readouterr().out
    assert f"torch {importlib.metadata.version('torch')}" in printed
    assert "extra serve" in printed and printed.endswith("ready\n")
    values = json.loads((tmp_path / "doctor.json").read_text())
    assert values["ready"] is True
    assert {"segwright", "Python", "CPU", "GPU", "weights"} <= {
        item["topic"][:9] for item in values["findings"]
    }


def test_doctor_names_a_missing_package_and_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = importlib.metadata.version

    def without(name: str) -> str:
        if name in ("timm", "fastapi"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0" if name == "scipy" else version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "x packages" in printed and "timm is not installed: pip install 'timm>=1.0'" in printed
    assert "scipy is 1.0, expected >=1.11" in printed
    assert "fastapi is not installed: pip install 'segwright[serve]'" in printed


def test_doctor_warns_of_a_small_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segwright.analysis.environment.SMALL_SHARED_MEMORY", 2**62)
    (finding,) = _shared_memory(tmp_path)
    assert finding.state == "warning" and "--shm-size" in finding.text


def test_doctor_refuses_a_weights_folder_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGWRIGHT_WEIGHTS", "/no/such/folder")
    assert not environment().ready
