"""Numbers that ask for more memory than there is, images above a limit, and dead workers end in one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from tests import small

from segwright.cli.main import main
from segwright.config import override
from segwright.data.loading.batches import load_batches
from segwright.data.reading import images as images_module
from segwright.data.reading import limits
from segwright.data.reading.images import image_size
from segwright.data.reading.label_maps import read_map
from segwright.errors import UserError, is_out_of_memory, run_error_of
from segwright.training.loading import open_training_data
from segwright.training.recipe_check import check


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), r"too little memory \(MemoryError\)"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9\nmore"), "too little memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "too little memory"),
        (cv2.error("OpenCV: (-4:Insufficient memory) Failed to allocate 3 bytes in function 'x'"), "too little"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), "a worker process ended"),
        (RuntimeError("DataLoader worker (pid 7) exited unexpectedly"), "a worker process ended"),
        (
            RuntimeError("DataLoader worker is killed by signal: Bus error. It is possible that dataloader's workers "
                         "are out of shared memory."), "--shm-size",
        ),
    ],
)  # fmt: skip
def test_errors_of_libraries_about_memory_are_explained(error: Exception, message: str) -> None:
    with pytest.raises(RuntimeError, match=message) as caught:
        raise run_error_of(error) or error
    assert "\n" not in str(caught.value) and "use " in str(caught.value)


@pytest.mark.parametrize(
    "error", [ValueError("out of memory of the past"), RuntimeError("shape"), KeyError("a")]
)
def test_other_errors_are_not(error: Exception) -> None:
    assert run_error_of(error) is None and not is_out_of_memory(error)


def test_the_command_line_prints_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none_left(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("segwright.recipes.recipe_names", none_left)
    assert main(["recipe", "list"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


class Full(list[int]):
    def __getitem__(self, index: object) -> int:  # type: ignore[override]
        raise MemoryError("Unable to allocate 8.94 GiB")


def first(items: Sequence[int]) -> int:
    return items[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_about_memory_reaches_the_caller_from_a_worker(workers: int) -> None:
    with pytest.raises(MemoryError, match=r"Unable to allocate 8\.94 GiB"):
        next(load_batches(Full([1]), [[0]], first, workers=workers))


def test_a_batch_above_the_memory_of_the_machine_is_refused_before_it_is_made() -> None:
    recipe = small.recipe()
    override(recipe, ["training.batch=1000000", "input.multiple=4096"])
    assert check(recipe) == []
    with pytest.raises(
        UserError, match=r"1000000 images of 4096x4096 pixels need .* GiB; lower training\.batch"
    ):
        open_training_data(recipe, recipe.data.open(None, "train"))


@pytest.mark.parametrize(
    "change",
    ["training.batch=10000000", "training.accumulate=1000001", "input.multiple=4097", "training.workers=257"],
)
def test_check_knows_the_largest_number(change: str) -> None:
    recipe = small.recipe()
    override(recipe, [change])
    assert any(change.replace("=", " is ") in problem for problem in check(recipe))


def test_crops_are_at_most_as_large_as_opencv_can_make() -> None:
    recipe = small.recipe()
    stage = recipe.augmentation.steps[0].stages[0]  # type: ignore[attr-defined]
    object.__setattr__(stage, "size", (32767, 32))
    assert "the limit of OpenCV" in check(recipe)[0]


@pytest.mark.parametrize("mode", ["L", "P"])
def test_a_map_above_the_limit_of_pillow_is_read_up_to_our_limit(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(np.full((40, 50), 3, np.uint8)).convert(mode).save(tmp_path / "map.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert read_map(tmp_path / "map.png").shape == (40, 50)
    assert image_size(tmp_path / "map.png") == (40, 50)
    assert Image.MAX_IMAGE_PIXELS == 10  # the program that uses segwright keeps its limit
    monkeypatch.setattr(limits, "MAX_PIXELS", 1999)
    with pytest.raises(UserError, match="header reports 50x40 pixels; expected at most 1,999"):
        read_map(tmp_path / "map.png")
    assert images_module.orientation(tmp_path / "map.png") == 1


def test_a_program_ends_though_its_loaders_were_not_read_to_the_end() -> None:
    lines = (
        "from segwright.data.loading.batches import load_batches",
        "fresh, begun = (load_batches(range(9), [[i] for i in range(9)], list, workers=1) for _ in range(2))",
        "next(begun)",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, timeout=60)
