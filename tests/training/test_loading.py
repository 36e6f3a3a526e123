"""The data of a training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import small

from segwright.data.loading import batches, sampling
from segwright.data.loading.sampling import (
    AspectRatioGrouping,
    RareClassSampling,
    RepeatFactorSampling,
    SampleRef,
    Sampling,
    ShuffledSampling,
)
from segwright.samples import Dataset
from segwright.training.loading import adapt_training_data, num_workers, open_training_data
from segwright.training.processes import Processes
from segwright.training.recipe import Recipe
from segwright.training.train import train


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


def recipe_with(order: Sampling, **training: Any) -> Recipe:
    recipe = small.recipe()
    recipe.sampling, recipe.training = order, replace(recipe.training, **training)
    return recipe


@dataclass
class LastOfTheStep:
    """A sampling of one's own: the images of a step are one image, and another one in its last position."""

    opened: int = 0

    def open(self, dataset: Dataset, seed: int, batch: int = 1) -> _Last:
        self.opened += 1
        return _Last(batch)


@dataclass
class _Last:
    batch: int

    def at(self, position: int) -> SampleRef:
        return SampleRef(int(position % self.batch == self.batch - 1))


@pytest.mark.parametrize(
    "order",
    [
        ShuffledSampling(),
        RareClassSampling(("red",)),
        RepeatFactorSampling(0.9),
        AspectRatioGrouping(),
        LastOfTheStep(),
    ],
)
def test_data_for_another_batch_and_length_are_those_opened_for_them(order: Sampling) -> None:
    recipe = recipe_with(order, batch=8, steps=100)
    other = recipe.with_training(batch=3, steps=7)
    dataset = recipe.data.open(None, "train")
    adapted = adapt_training_data(open_training_data(recipe, dataset), other)
    opened = open_training_data(other, dataset)
    assert (adapted.batch, adapted.steps) == (3, 7)
    for position in range(21):
        assert adapted.order.at(position) == opened.order.at(position)
        one, same = adapted[position], opened[position]
        assert (one.image == same.image).all() and (one.map == same.map).all()


@pytest.mark.parametrize("length", [{"steps": 2}, {"minutes": 0.2}])
def test_a_training_counts_the_pixels_of_its_dataset_once(
    length: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Dataset] = []

    def count(dataset: Dataset) -> Any:
        counted.append(dataset)
        return class_counts(dataset)

    class_counts = sampling.class_counts
    monkeypatch.setattr(sampling, "class_counts", count)
    recipe = recipe_with(RareClassSampling(("red",)), batch="auto", evaluate_every=1, **length)
    if "minutes" in length:
        monkeypatch.setattr("segwright.training.length._steps_in", lambda *_: 2)
    assert train(recipe, None, tmp_path)["finished"]
    assert len(counted) == 1
