"""Every loss, model, norm, decoder, schedule and so on is used by a recipe; what is not used is not in segwright."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import get_args

import pytest

from segwright.config import walk
from segwright.models.layers.norm_config import Norm, NormKind
from segwright.recipes import load_recipe, recipe_names

# Folders and files, and how to recognize a class that a recipe can hold: a method, and an argument of it.
INTERFACES = {
    "losses": ("counts", "targets"),
    "models": ("build", None),
    "models.backbones": ("build", None),
    "decode": ("__call__", "sizes"),
    "training.schedule": ("__call__", "progress"),
    "data.augmentation.photometric": ("__call__", "context"),
    "data.augmentation.mixing": ("__call__", "context"),
    "data.augmentation.crop": ("__call__", "context"),
    "data.augmentation.scale": ("__call__", "shape"),
    "data.loading.sampling": ("open", "seed"),
    "data.loading.targets": ("__call__", "samples"),
}
# For models without a recipe, for a user's own loss, and for metrics that need confidences.
NOT_IN_RECIPES = {"DefaultDecoder", "FunctionLoss", "WithUncertainty", "MinimumScore"}


def modules(path: str) -> Iterator[object]:
    package = importlib.import_module(f"segwright.{path}")
    if not hasattr(package, "__path__"):
        yield package
        return
    for info in pkgutil.iter_modules(package.__path__):
        if not info.ispkg:
            yield importlib.import_module(f"{package.__name__}.{info.name}")


def classes_in(path: str) -> dict[str, type]:
    method, argument = INTERFACES[path]
    classes = {}
    for module in modules(path):
        for name, kind in inspect.getmembers(module, inspect.isclass):
            own = kind.__module__ == module.__name__ and dataclasses.is_dataclass(kind)  # type: ignore[attr-defined]
            call = getattr(kind, method, None)
            if own and call and (argument is None or argument in inspect.signature(call).parameters):
                classes[name] = kind
    return classes


@pytest.fixture(scope="module")
def configs() -> list[object]:
    return [config for name in recipe_names() for config in walk(load_recipe(name))]


@pytest.mark.parametrize("path", INTERFACES)
def test_every_class_is_used_in_a_recipe(path: str, configs: list[object]) -> None:
    classes = classes_in(path)
    assert classes
    used = {type(config) for config in configs}
    assert {name for name, kind in classes.items() if kind not in used} <= NOT_IN_RECIPES


def test_every_norm_is_used_in_a_recipe(configs: list[object]) -> None:
    assert {config.kind for config in configs if isinstance(config, Norm)} == set(get_args(NormKind))
