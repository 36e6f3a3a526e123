"""Worker processes that are started by spawn, as on macOS and Windows, know the classes of the user's own file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests import small

from segwright.config import load_code
from segwright.contracts import InputContract
from segwright.data.loading.augmented_samples import AugmentedDataset
from segwright.data.loading.batches import Collate, load_batches
from segwright.data.loading.targets import SemanticTargets
from segwright.errors import UserError
from segwright.parallel import map_in_processes, start_method

OWN = """
from dataclasses import dataclass, replace


@dataclass(slots=True)
class Gray:
    def __call__(self, sample, context):
        return replace(sample, image=sample.image.mean(-1, keepdims=True).repeat(3, -1).astype("uint8"))


class Double:
    def __call__(self, number):
        return 2 * number
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_an_augmentation_of_the_users_file_runs_in_workers(
    tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGWRIGHT_START_METHOD", method)
    (tmp_path / "own_gray.py").write_text(OWN)
    own = load_code(tmp_path / "own_gray.py")
    recipe = small.recipe()
    opened = recipe.data.open(None, "train")
    dataset = AugmentedDataset(
        opened, recipe.sampling.open(opened, 0, 2), own.Gray(), (0.0, 0.0, 0.0), seed=0, steps=2, batch=2
    )
    collate = Collate(SemanticTargets(), InputContract(multiple=8), opened.labels)
    (batch,) = load_batches(dataset, [[0, 1]], collate, workers=1)
    assert batch.images.shape[0] == 2
    assert bool((batch.images[:, 0] == batch.images[:, 1]).all())
    assert list(map_in_processes(own.Double(), [1, 2, 3], workers=1)) == [2, 4, 6]


def test_what_cannot_be_sent_to_a_spawned_worker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGWRIGHT_START_METHOD", "spawn")

    def local(items: Sequence[int]) -> Sequence[int]:
        return items

    with pytest.raises(UserError, match=r"worker processes cannot be started \(.*local.*\); define"):
        next(load_batches([1, 2], [[0]], local, workers=1))


def test_linux_forks_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGWRIGHT_START_METHOD", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert start_method() == "fork"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert start_method() is None  # the default of the system


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    for folder, number in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own_number.py").write_text(f"NUMBER = {number}\n")
        assert number == load_code(tmp_path / folder / "own_number.py").NUMBER
    assert load_code(tmp_path / "b" / "own_number.py") is load_code(tmp_path / "b" / "own_number.py")


@pytest.mark.slow
def test_a_training_with_spawned_workers(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "segwright",
        "train",
        f"{Path(small.__file__)}:recipe",
        "--device",
        "cpu",
    ]
    command += ["--out", str(tmp_path), "--set", "training.workers=1", "training.steps=2"]
    done = subprocess.run(
        command, env={"SEGWRIGHT_START_METHOD": "spawn"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
