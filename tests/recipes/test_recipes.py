"""Recipes: their numbers are those of their datasets, and they are found by name."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from segwright import recipes
from segwright.config import walk
from segwright.data.datasets.camvid import CLASSES, CamVid
from segwright.data.datasets.street import StreetScenes
from segwright.recipes import camvid, describe_file, describe_recipe, load_recipe, recipe_names, street


def pixel_fractions(maps: list[np.ndarray], classes: int) -> np.ndarray:
    counts = sum(np.bincount(m.ravel(), minlength=256)[:classes] for m in maps)
    return counts / counts.sum()


def scaled(weights: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    return weights / (weights * fractions).sum()


def test_the_weights_of_camvid_are_those_of_its_train_pixels(camvid_maps: list[np.ndarray]) -> None:
    fractions = pixel_fractions(camvid_maps, 11)
    assert pytest.approx(scaled(fractions**-0.5, fractions), abs=0.006) == camvid.WEIGHTS


def test_the_weights_of_the_streets_are_those_of_their_pixels() -> None:
    data = StreetScenes().open(None, "train")
    fractions = pixel_fractions([data[i].map for i in range(60)], 9)
    assert pytest.approx(scaled(fractions**-0.25, fractions), rel=0.15) == street.WEIGHTS


def test_pasted_and_sampled_classes_of_camvid_are_the_small_ones(camvid_maps: list[np.ndarray]) -> None:
    fractions = pixel_fractions(camvid_maps, 11)
    small = {name for name, fraction in zip(CLASSES.names, fractions, strict=True) if fraction < 0.013}
    assert set(camvid.SMALL) == small
    assert set(camvid.RARE) == small


@pytest.fixture(scope="module")
def camvid_maps(camvid: Path) -> list[np.ndarray]:
    data = CamVid().open(camvid, "train")
    return [data[i].map for i in range(len(data))]


def test_names_and_descriptions_are_those_of_the_imported_functions() -> None:
    functions = {
        f"{file}.{name}": function
        for file in recipes.FILES
        for name, function in inspect.getmembers(getattr(recipes, file), inspect.isfunction)
        if function.__module__ == f"segwright.recipes.{file}" and not name.startswith("_")
    }
    assert sorted(functions) == recipe_names()
    for name, function in functions.items():
        assert describe_recipe(name).summary == inspect.getdoc(function).splitlines()[0]
    for file in recipes.FILES:
        assert describe_file(file) == inspect.getdoc(getattr(recipes, file))


@pytest.mark.parametrize("name", recipe_names())
def test_crops_need_no_padding_in_training(name: str) -> None:
    recipe = load_recipe(name)
    for config in walk(recipe.augmentation):
        for side in getattr(config, "size", ()) or ():
            assert side % recipe.input.multiple == 0


@pytest.mark.parametrize("name", recipe_names())
def test_two_calls_give_two_recipes(name: str) -> None:
    first, second = load_recipe(name), load_recipe(name)
    # --set changes objects in place, frozen ones, too: recipes share none of them.
    assert not {id(part) for part in walk(first)} & {id(part) for part in walk(second)}
    first.optim.lr = 123.0
    assert second.optim.lr != 123.0
    assert first.tiny().training.steps == 2
    assert first.training.steps != 2


def test_the_held_out_recipe_differs_in_its_data_only() -> None:
    quick, held_out = camvid.quick(), camvid.quick_held_out()
    assert held_out.data == CamVid(train_part=(0.0, 2 / 3))
    held_out.data, held_out.name = quick.data, quick.name
    assert held_out == quick


def test_recipes_are_attributes_of_the_package() -> None:
    assert recipes.camvid.quick() == load_recipe("camvid.quick")
    assert {name.partition(".")[0] for name in recipe_names()} <= set(dir(recipes))
    with pytest.raises(AttributeError, match="has no attribute 'kamvid'"):
        _ = recipes.kamvid
    assert "_upstream_bugs" not in recipes.FILES
