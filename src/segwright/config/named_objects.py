"""The public classes of segwright by name, and the object that a name stands for in a recipe."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import pkgutil
import re
from functools import cache
from typing import Any

from segwright.config.protocol_check import mismatch
from segwright.errors import UserError

_PACKAGES = (
    "contracts", "data.augmentation", "data.datasets", "data.loading", "decode", "importers", "inference",
    "inference.crf", "labels", "losses", "metrics", "models", "models.backbones", "models.layers", "recipes",
    "training",
)  # fmt: skip


@cache
def public_classes() -> dict[str, type]:
    """The dataclasses of segwright that a recipe or a model file may name, by their name."""
    classes: dict[str, type] = {}
    for package_name in _PACKAGES:
        package = importlib.import_module(f"segwright.{package_name}")
        names = [
            info.name for info in pkgutil.iter_modules(getattr(package, "__path__", ())) if not info.ispkg
        ]
        modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names] or [package]
        for module in modules:
            for name, kind in vars(module).items():
                own = getattr(kind, "__module__", None) == module.__name__
                if (
                    own
                    and not name.startswith("_")
                    and isinstance(kind, type)
                    and dataclasses.is_dataclass(kind)
                ):
                    if name in classes:
                        raise AssertionError(f"two public classes are named {name}: {classes[name]}, {kind}")
                    classes[name] = kind
    return classes


def object_named(name: str, kind: type, where: str) -> Any:
    """The object that ``name`` stands for where a field asks for the class or protocol ``kind``.

    It is the public class of that name with its default values; case, "-", "_" and "Config" do not matter. Another name
    goes to the class of this kind that builds anything by its name (``TimmConfig``). ``UserError`` lists the names.
    """
    classes = public_classes()
    exact = [class_ for known, class_ in classes.items() if _plain_name(known) == _plain_name(name)]
    for class_ in exact:
        instance = _default(class_)
        if instance is None:
            needed = ", ".join(f.name for f in dataclasses.fields(class_) if _is_required(f))
            raise UserError(
                f"{where}: {class_.__name__} needs {needed}; set it in a recipe file: !{class_.__name__}"
            )
        return instance
    for class_ in classes.values():
        if field := getattr(class_, "NAMED_BY", None):
            instance = class_(**{field: name})
            if mismatch(instance, kind) is None:
                return instance
    names = sorted(_plain_name(known) for known, class_ in classes.items() if _is_of(_default(class_), kind))
    near = [known for known in names if known.startswith(_plain_name(name))]
    near = near or difflib.get_close_matches(_plain_name(name), names, 1, cutoff=0.6)
    hint = f"did you mean {' or '.join(near[:3])}?" if near else f"expected one of {', '.join(names)}"
    raise UserError(f"{where}: {name!r} is no {kind.__name__}; {hint}")


def _plain_name(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower().replace("+", "plus")).removesuffix("config")


def _default(kind: type) -> Any:
    """An object of the class with default values; None if it needs others."""
    return None if any(_is_required(f) for f in dataclasses.fields(kind)) else kind()


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.init and field.default is field.default_factory is dataclasses.MISSING


def _is_of(value: Any, kind: type) -> bool:
    return value is not None and mismatch(value, kind) is None
