"""``training.batch=auto``: the largest batch that fits the memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import small

from segwright import memory
from segwright.config import override
from segwright.errors import UserError
from segwright.training import batch_size
from segwright.training.batch_size import MAX_ON_CPU, largest_batch
from segwright.training.loading import open_training_data
from segwright.training.recipe import Recipe
from segwright.training.recipe_check import check
from segwright.training.train import train

CPU = torch.device("cpu")


def recipe_of(**changes: Any) -> Recipe:
    recipe = small.recipe()
    override(recipe, ["training.batch=auto"])
    recipe.training = replace(recipe.training, steps=2, **changes)
    return recipe


def test_the_batch_is_recorded_and_kept_by_a_resumed_run(tmp_path: Path) -> None:
    recipe = recipe_of()
    assert not check(recipe)
    assert train(recipe, None, tmp_path)["finished"]
    metadata = json.loads((tmp_path / "run.json").read_text())
    assert metadata["batch"] == MAX_ON_CPU  # tiny images
    assert "batch: auto" in (tmp_path / "recipe.yaml").read_text()
    (tmp_path / "run.json").write_text(json.dumps(metadata | {"batch": 6}))
    assert train(recipe, None, tmp_path)["finished"]
    assert json.loads((tmp_path / "run.json").read_text())["batch"] == 6


def test_on_a_cpu_it_is_bounded_by_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of()
    dataset = open_training_data(recipe, recipe.data.open(None, "train"))
    needed = batch_size._bytes_per_image(recipe, dataset, CPU)
    assert needed > 0
    monkeypatch.setattr(batch_size, "_bytes_per_image", lambda *_: needed)
    for images in (1, 5, 9):
        monkeypatch.setattr(batch_size, "available_memory", lambda n=images: int(2.3 * n * needed))
        assert largest_batch(recipe, dataset, CPU) == 1 << (images.bit_length() - 1)


@pytest.mark.parametrize(
    ("limit", "used_and_cached", "free"),
    [("9000", (5000, 1000), 5000), ("9000", (9500, 0), 0), (f"{2**60}", (0, 0), None), ("max", (5, 0), None)],
)
def test_in_a_container_its_limit_counts(
    limit: str,
    used_and_cached: tuple[int, int],
    free: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert batch_size.available_memory() > 10**6
    used, cached = used_and_cached
    for name, text in (("max", limit), ("current", used), ("stat", f"anon 7\ninactive_file {cached}")):
        (tmp_path / f"memory.{name}").write_text(f"{text}\n")
    available = batch_size.available_memory()
    assert available > 10**6 if free is None else available == free


@pytest.mark.parametrize(("fits", "expected"), [(1, 1), (5, 4), (100, 88), (10**6, 1024)])
def test_on_a_gpu_it_is_tried(monkeypatch: pytest.MonkeyPatch, fits: int, expected: int) -> None:
    dataset = open_training_data(recipe_of(), recipe_of().data.open(None, "train"))
    monkeypatch.setattr(type(dataset.dataset), "__len__", lambda _: 10**6)

    tried: list[int] = []

    def try_steps(_: Any, __: Any, ___: Any, images: int) -> None:
        tried.append(images)
        if images > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(batch_size, "_try_steps", try_steps)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    # It would look at everything that pytest keeps.
    monkeypatch.setattr(batch_size.gc, "collect", lambda: None)
    found = largest_batch(recipe_of(), dataset, torch.device("cuda"))
    assert found <= fits and abs(found - expected) <= max(1, expected // 8)
    assert len(tried) < 20


def test_not_even_one_image_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(batch_size, "_try_steps", fail)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    data = open_training_data(recipe_of(), recipe_of().data.open(None, "train"))
    with pytest.raises(UserError, match="not even one image fits"):
        largest_batch(recipe_of(), data, torch.device("cuda"))
