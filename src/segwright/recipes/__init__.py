"""Recipes by name, from a file of the user, or from YAML."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from segwright.config import from_yaml, load_code
from segwright.errors import UserError
from segwright.recipe import Recipe


def names() -> list[str]:
    """The names of all shipped recipes."""
    return sorted(_shipped())


def summary(name: str) -> str:
    """The first line of a recipe's docstring."""
    return (inspect.getdoc(_shipped()[name]) or "").splitlines()[0]


def find(name: str, *, code: ModuleType | None = None) -> Recipe:
    """The recipe called NAME, or of FILE.yaml, or FILE.py:function; ``UserError`` names the nearest one."""
    if name.endswith((".yaml", ".yml")):
        return _from_file(Path(name), code)
    path, colon, function = name.rpartition(":")
    if colon and path.endswith(".py"):
        made = getattr(load_code(Path(path)), function, None)
        if made is None:
            raise UserError(f"{path}: has no function {function!r}; expected one that returns a Recipe")
        return _checked(made(), name)
    shipped = _shipped()
    if name not in shipped:
        near = difflib.get_close_matches(name, shipped, 1, cutoff=0.3)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(shipped))}"
        raise UserError(f"no recipe {name!r}; {hint}")
    return shipped[name]()


def _from_file(path: Path, code: ModuleType | None) -> Recipe:
    if not path.is_file():
        raise UserError(f"{path}: no such file; 'segwright recipe show NAME > {path}' writes one to edit")
    return _checked(from_yaml(path.read_text(encoding="utf-8"), where=str(path), code=code), str(path))


def _checked(made: Any, name: str) -> Recipe:
    if not isinstance(made, Recipe):
        raise UserError(f"{name}: gives a {type(made).__name__}; expected a Recipe")
    return made


def _shipped() -> dict[str, Callable[[], Recipe]]:
    found: dict[str, Callable[[], Recipe]] = {}
    for info in pkgutil.iter_modules(__path__):
        if not info.name.startswith("_"):
            module = importlib.import_module(f"segwright.recipes.{info.name}")
            for name, function in inspect.getmembers(module, inspect.isfunction):
                if function.__module__ == module.__name__ and not name.startswith("_"):
                    found[f"{info.name}.{name}"] = function
    return found
