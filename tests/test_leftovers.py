"""Temporary files and folders of processes that were killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from segwright import files

KILLED = """
import os, signal
from pathlib import Path
from segwright import files

replace = os.replace
def replaced(source, target):
    replace(source, target)
    if {moment!r} == "replacing":
        os.kill(os.getpid(), signal.SIGKILL)
files.os.replace = replaced
with files.atomic_outputs((Path({target!r}),), force=True) as (part,):
    part.mkdir()
    (part / "new").touch()
    if {moment!r} == "writing":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def kill(target: Path, moment: str) -> None:
    """Let a process die while it writes, or replaces, a folder."""
    code = KILLED.format(target=str(target), moment=moment)
    subprocess.run([sys.executable, "-c", code], check=False)


def content(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_what_a_killed_process_wrote_is_removed_at_the_next_start(tmp_path: Path) -> None:
    kill(tmp_path / "out", "writing")
    assert len(content(tmp_path)) == 2
    files.check_writable(tmp_path / "out")
    assert content(tmp_path) == []


def test_a_folder_that_was_being_replaced_comes_back(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    kill(tmp_path / "out", "replacing")
    assert not (tmp_path / "out").exists()
    files.remove_leftovers_of(tmp_path / "out")
    assert content(tmp_path) == ["out", "out/old"]


def test_what_others_are_writing_stays(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    machine = files._machine()
    names = [f".a.json.1-{machine}.part", ".a.json.999999999-0123abcd.part", ".a.json.part", ".b.json.2.part"]
    for (
        name
    ) in names:  # process 1 is alive; the second one is of another machine; the others are no temporary files
        (tmp_path / name).touch()
    with files.temporary_folder(target) as folder:
        files.check_writable(target)
        assert folder.is_dir()
    assert content(tmp_path) == sorted(names)


def test_a_dead_process_is_told_from_a_living_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert files._is_dead(f"999999999-{files._machine()}")
    assert not files._is_dead(f"1-{files._machine()}")
    assert not files._is_dead("999999999")
