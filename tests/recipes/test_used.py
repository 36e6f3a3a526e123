"""What no recipe uses is not in the house: every loss, model, norm, decoder, schedule and so on stands in one."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import get_args

import pytest

from segwright.models.layers.norm_config import Kind, Norm
from segwright.recipe import walk
from segwright.recipes import find, names

# Where things stand, and what tells one that a recipe can hold: a method, and an argument of it.
KINDS = {
    "losses": ("counts", "targets"),
    "models": ("build", None),
    "models.backbones": ("build", None),
    "decode": ("__call__", "sizes"),
    "training.schedule": ("__call__", "progress"),
    "data.augmentation.photometric": ("__call__", "context"),
    "data.augmentation.mixing": ("__call__", "context"),
    "data.augmentation.crop": ("__call__", "context"),
    "data.augmentation.geometry": ("__call__", "shape"),
    "data.loading.sampling": ("open", "seed"),
    "data.loading.targets": ("__call__", "samples"),
}
ELSEWHERE = {"DefaultDecoder"}  # decodes models that came without a recipe


def modules(place: str) -> Iterator[object]:
    home = importlib.import_module(f"segwright.{place}")
    if not hasattr(home, "__path__"):
        yield home
        return
    for info in pkgutil.iter_modules(home.__path__):
        if not info.ispkg:
            yield importlib.import_module(f"{home.__name__}.{info.name}")


def offered(place: str) -> dict[str, type]:
    method, argument = KINDS[place]
    found = {}
    for module in modules(place):
        for name, kind in inspect.getmembers(module, inspect.isclass):
            own = kind.__module__ == module.__name__ and dataclasses.is_dataclass(kind)  # type: ignore[attr-defined]
            call = getattr(kind, method, None)
            if own and call and (argument is None or argument in inspect.signature(call).parameters):
                found[name] = kind
    return found


@pytest.fixture(scope="module")
def things() -> list[object]:
    return [thing for name in names() for thing in walk(find(name))]


@pytest.mark.parametrize("place", KINDS)
def test_everything_offered_stands_in_a_recipe(place: str, things: list[object]) -> None:
    kinds = offered(place)
    assert kinds
    used = {type(thing) for thing in things}
    assert {name for name, kind in kinds.items() if kind not in used} <= ELSEWHERE


def test_every_norm_stands_in_a_recipe(things: list[object]) -> None:
    assert {thing.kind for thing in things if isinstance(thing, Norm)} == set(get_args(Kind))
