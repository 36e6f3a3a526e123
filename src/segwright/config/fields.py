"""The fields of a dataclass, their types, and the dataclasses inside another one."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterator
from typing import Any

from segwright.config.foreign_names import SYNONYMS
from segwright.errors import UserError


def field_types(kind: type) -> dict[str, Any]:
    """The annotated types of a dataclass's fields."""
    return typing.get_type_hints(kind)


def require_field(kind: type, name: str, where: str) -> None:
    """``UserError`` with the nearest name unless the dataclass ``kind`` has a field ``name``."""
    if not dataclasses.is_dataclass(kind):
        raise UserError(f"{where}: {kind.__name__} has no fields, so {name!r} cannot be set")
    names = [f.name for f in dataclasses.fields(kind)]
    if name in names:
        return
    near = (
        [SYNONYMS[name]]
        if SYNONYMS.get(name) in names
        else difflib.get_close_matches(name, names, 1, cutoff=0.55)
    )
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names) or 'none'}"
    if name == "backbone" and not near:
        hint += "; a network with a backbone is set by model=unet ('segwright models' lists all)"
    raise UserError(f"{where}: {kind.__name__} has no field {name!r}; {hint}")


def parts(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The dataclass and all dataclasses inside it, outermost first, each with its path: "loss.terms.0"."""
    if isinstance(config, tuple | list):
        for index, item in enumerate(config):
            yield from parts(item, f"{path}.{index}")
    elif dataclasses.is_dataclass(config) and not isinstance(config, type):
        yield path, config
        for field in dataclasses.fields(config):
            value = getattr(config, field.name, None)
            yield from parts(value, f"{path}.{field.name}" if path else field.name)


def walk(config: Any) -> list[Any]:
    """The dataclass and all dataclasses inside it, outermost first."""
    return [inner for _, inner in parts(config)]
