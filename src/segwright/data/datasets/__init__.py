"""Data sets by name: the name of the file that describes one."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from typing import Any

from segwright.config import override
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import DataConfig


def names() -> list[str]:
    """The names of all data sets that are read."""
    return sorted(
        info.name
        for info in pkgutil.iter_modules(__path__)
        if not info.name.startswith("_") and info.name != "one_vs_rest"
    )


def find(name: str, settings: Iterable[str] = ()) -> DataConfig:
    """The data set called NAME with its defaults, changed by ``field=value`` texts; ``UserError`` names the nearest."""
    if name not in names():
        near = difflib.get_close_matches(name, names(), 1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names())}"
        raise UserError(f"no data set {name!r}; {hint}")
    module = importlib.import_module(f"segwright.data.datasets.{name}")
    (kind,) = (
        found
        for _, found in inspect.getmembers(module, inspect.isclass)
        if found.__module__ == module.__name__ and dataclasses.is_dataclass(found) and _describes(found)
    )
    config: Any = kind()
    override(
        config, (setting.removeprefix("data.") for setting in settings)
    )  # as messages of a training say it
    return config  # type: ignore[no-any-return]


def label_space(name: str) -> LabelSpace:
    """The classes of the data set called NAME; ``UserError`` where its files alone know them."""
    find(name)  # names the nearest
    classes = getattr(importlib.import_module(f"segwright.data.datasets.{name}"), "CLASSES", None)
    if classes is None:
        raise UserError(f"data set {name!r} has no classes of its own; expected a label map FILE.yaml")
    return classes  # type: ignore[no-any-return]


def _describes(kind: type) -> bool:
    """Whether a class is a description of a data set: it opens splits, and is not an opened one itself."""
    return callable(getattr(kind, "open", None)) and not kind.__name__.startswith("_")
