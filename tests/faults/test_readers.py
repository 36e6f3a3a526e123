"""Files of strangers: each reader reads its own file, and ends in a result or in one line on damaged ones."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.readers import SLOW, TARGETS, Target, check, limited_memory, mutations, prepare, slug

pytestmark = pytest.mark.faults

FINDINGS = Path(__file__).parent / "findings"

Prepare = Callable[[Target, Path], bytes]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    """Fills a folder with the files of a target, which are made once for all targets that share them."""
    made: dict[object, Path] = {}

    def fill(target: Target, folder: Path) -> bytes:
        if target.make not in made:
            made[target.make] = tmp_path_factory.mktemp("target")
            prepare(target, made[target.make])
        shutil.copytree(made[target.make], folder)
        return (folder / target.name).read_bytes()

    return fill


def read(name: str, folder: Path, data: bytes) -> None:
    """Read a file within the limits of memory and time; ``Finding`` if it ends neither in a result nor in one line."""
    began = time.process_time()
    with limited_memory():
        check(TARGETS[name], folder, data)
    assert time.process_time() - began < SLOW, f"{name}: too slow"


@pytest.mark.parametrize("name", TARGETS)
def test_a_damaged_file_ends_in_a_result_or_one_line(name: str, prepared: Prepare, tmp_path: Path) -> None:
    target, folder = TARGETS[name], tmp_path / "files"
    undamaged = prepared(target, folder)
    target.read(folder / target.name)
    for data in mutations(undamaged, target.mutations, seed=16):
        read(name, folder, data)


@pytest.mark.parametrize(
    "path", sorted(FINDINGS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_what_the_fuzzer_found_is_read_or_refused(path: Path, prepared: Prepare, tmp_path: Path) -> None:
    names = [name for name in TARGETS if slug(name) == path.parent.name]
    assert len(names) == 1, f"{path}: no reader of this name"
    prepared(TARGETS[names[0]], tmp_path / "files")
    read(names[0], tmp_path / "files", path.read_bytes())
