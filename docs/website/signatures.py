"""Signatures as they are written in the code: shapes in the types, defaults as a reader would type them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

LONGEST_DEFAULT = 60


def signature(thing: Any) -> tuple[str, str | None]:
    """The parameters in parentheses and the type of the result, of a function or a class."""
    if inspect.isclass(thing):
        return _class_signature(thing), None
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return "", None
    result = (
        None if found.return_annotation is inspect.Signature.empty else annotation(found.return_annotation)
    )
    return f"({', '.join(_parameters(found))})", result


def annotation(kind: Any) -> str:
    """A type as it is written in the code."""
    return kind if isinstance(kind, str) else inspect.formatannotation(kind)


def default_text(value: Any) -> str:
    """A default value as a reader would type it; "..." if it is long."""
    if inspect.isclass(value) or inspect.isroutine(value):
        return str(getattr(value, "__name__", "..."))
    if dataclasses.is_dataclass(value):
        changed = ", ".join(_changed_fields(value))
        text = f"{type(value).__name__}({changed})"
        return text if len(text) <= LONGEST_DEFAULT else f"{type(value).__name__}(...)"
    if isinstance(value, tuple | list) and value and any(dataclasses.is_dataclass(item) for item in value):
        text = f"({', '.join(default_text(item) for item in value)})"
    else:
        text = repr(value)
    return "..." if "<" in text or len(text) > LONGEST_DEFAULT else text


def field_default(field: dataclasses.Field[Any]) -> str | None:
    """The default value of a field; None if it has none."""
    if field.default is not dataclasses.MISSING:
        return default_text(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return default_text(field.default_factory())
    return None


def _class_signature(kind: type) -> str:
    if getattr(kind, "_is_protocol", False) or kind.__init__ is object.__init__:  # type: ignore[misc]
        return ""
    if dataclasses.is_dataclass(kind) and "__init__" in vars(kind):
        return f"({', '.join(_fields(kind))})"
    if issubclass(kind, Exception):
        return ""
    return f"({', '.join(_parameters(inspect.signature(kind.__init__)))})"


def _fields(kind: type) -> Iterator[str]:
    keyword_only = False
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        if field.kw_only and not keyword_only:
            keyword_only = True
            yield "*"
        default = field_default(field)
        yield f"{field.name}: {annotation(field.type)}" + ("" if default is None else f" = {default}")


def _parameters(found: inspect.Signature) -> Iterator[str]:
    kinds = [p.kind for p in found.parameters.values()]
    for index, p in enumerate(found.parameters.values()):
        if p.name in ("self", "cls") and index == 0:
            continue
        star = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
        if p.kind is p.KEYWORD_ONLY and not {p.KEYWORD_ONLY, p.VAR_POSITIONAL} & {*kinds[:index]}:
            yield "*"
        text = f"{star}{p.name}"
        if p.annotation is not p.empty:
            text += f": {annotation(p.annotation)}"
        if p.default is not p.empty:
            text += f" = {default_text(p.default)}"
        yield text


def _changed_fields(value: Any) -> Iterator[str]:
    """The fields of an object that differ from their defaults."""
    for field in dataclasses.fields(value):
        current = getattr(value, field.name)
        if field.default is not dataclasses.MISSING and current == field.default:
            continue
        if field.default_factory is not dataclasses.MISSING and current == field.default_factory():
            continue
        yield f"{field.name}={default_text(current)}"
