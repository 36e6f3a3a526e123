"""The numbers in recipes are those that their data give."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from segwright.data.datasets.camvid import CLASSES, CamVid
from segwright.data.datasets.street import StreetScenes
from segwright.recipe import walk
from segwright.recipes import camvid, find, names, street, summary


def shares(maps: list[np.ndarray], classes: int) -> np.ndarray:
    counts = sum(np.bincount(m.ravel(), minlength=256)[:classes] for m in maps)
    return counts / counts.sum()


def scaled(weights: np.ndarray, share: np.ndarray) -> np.ndarray:
    return weights / (weights * share).sum()


def test_the_weights_of_camvid_are_those_of_its_train_pixels(camvid_maps: list[np.ndarray]) -> None:
    share = shares(camvid_maps, 11)
    assert pytest.approx(scaled(share**-0.5, share), abs=0.006) == camvid.WEIGHTS


def test_the_weights_of_the_streets_are_those_of_their_pixels() -> None:
    data = StreetScenes().open(None, "train")
    share = shares([data[i].map for i in range(60)], 9)
    assert pytest.approx(scaled(share**-0.25, share), rel=0.15) == street.WEIGHTS


def test_pasted_and_sampled_classes_of_camvid_are_the_small_ones(camvid_maps: list[np.ndarray]) -> None:
    share = shares(camvid_maps, 11)
    small = {name for name, part in zip(CLASSES.names, share, strict=True) if part < 0.013}
    assert set(camvid.SMALL) == small
    assert set(camvid.RARE) == small


@pytest.fixture(scope="module")
def camvid_maps(camvid: Path) -> list[np.ndarray]:
    data = CamVid().open(camvid, "train")
    return [data[i].map for i in range(len(data))]


@pytest.mark.parametrize("name", names())
def test_a_recipe_says_what_it_is_and_how_to_start_it(name: str) -> None:
    module, _, function = name.partition(".")
    text = getattr(importlib.import_module(f"segwright.recipes.{module}"), function).__doc__
    assert f"segwright train {name}" in text
    assert summary(name).endswith(".")


@pytest.mark.parametrize("name", names())
def test_views_need_no_padding_in_training(name: str) -> None:
    recipe = find(name)
    for thing in walk(recipe.augmentation):
        for side in getattr(thing, "size", ()) or ():
            assert side % recipe.input.multiple == 0


@pytest.mark.parametrize("name", names())
def test_two_calls_give_two_recipes(name: str) -> None:
    first, second = find(name), find(name)
    first.optim.lr = 123.0
    assert second.optim.lr != 123.0
    assert first.tiny().training.steps == 2
    assert first.training.steps != 2


def test_the_held_out_recipe_differs_in_its_data_only() -> None:
    whole, part = camvid.quick(), camvid.quick_held_out()
    assert part.data == CamVid(train_part=(0.0, 2 / 3))
    part.data, part.name = whole.data, whole.name
    assert part == whole
