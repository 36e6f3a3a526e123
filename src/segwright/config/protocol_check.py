"""Checks that an object implements the protocol that a field of a recipe asks for, before anything runs."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, Union


def mismatch(value: Any, expected: type) -> str | None:
    """Why ``value`` cannot stand where ``expected``, a class or a protocol, is asked for; None if it can.

    All methods of a protocol must exist, take the same number of arguments, and take a first argument of a related
    type: a loss and an augmentation are both called with two arguments, and one must not pass for the other.
    """
    article = "an" if expected.__name__[:1] in "AEIO" else "a"
    wanted = f"expected {article} {expected.__name__}"
    if isinstance(value, str | int | float | bool | list | dict):
        return f"{value!r} is {_noun(value)}; {wanted}"
    if not getattr(expected, "_is_protocol", False):
        return (
            None
            if isinstance(value, expected)
            else f"{type(value).__name__} is another kind of object; {wanted}"
        )
    for name in vars(expected).get("__annotations__", {}):
        if not hasattr(value, name):
            return f"{type(value).__name__} has no field {name}; {wanted}"
    for name, method in protocol_methods(expected).items():
        own = getattr(value, name, None)
        if not callable(own) or (name == "__call__" and not callable(value)):
            return f"{type(value).__name__} has no method {name}; {wanted}"
        if not _fits(method, own if name != "__call__" else type(value).__call__):
            return f"{type(value).__name__} is another kind of object; {wanted}"
    return None


def protocol_methods(protocol: type) -> dict[str, Callable[..., Any]]:
    """The methods that a protocol asks for, by name."""
    return {
        name: vars(protocol)[name]
        for name in _attributes(protocol)
        if inspect.isfunction(vars(protocol)[name])
    }


def related(first: Any, second: Any) -> bool:
    """Whether two annotations may describe one object: one class of each is the other's or its subclass."""
    return any(_is_a(a, b) or _is_a(b, a) for a in members(first) for b in members(second))


def members(annotation: Any) -> tuple[Any, ...]:
    """The classes of an annotation: those of a union, the class of a generic, or itself."""
    origin = typing.get_origin(annotation)
    if origin in (Union, types.UnionType):
        return tuple(member for part in typing.get_args(annotation) for member in members(part))
    return (origin or annotation,)


def _attributes(protocol: type) -> list[str]:
    """The methods and properties that a protocol itself defines."""
    special = ("__call__", "__len__", "__getitem__")
    return [
        name
        for name, member in vars(protocol).items()
        if (inspect.isfunction(member) or isinstance(member, property))
        and (name in special or not name.startswith("_"))
    ]


def _fits(wanted: Callable[..., Any], given: Any) -> bool:
    """Whether ``given`` can be called as ``wanted`` is: with as many arguments, the first of a related type."""
    ours = [p for p in inspect.signature(wanted).parameters.values() if p.name != "self"]
    try:
        theirs = inspect.signature(given)
    except (TypeError, ValueError):  # a builtin without a signature
        return True
    parameters = [p for p in theirs.parameters.values() if p.name != "self"]
    try:
        inspect.Signature(parameters).bind(*[None for p in ours if p.kind is not p.KEYWORD_ONLY])
    except TypeError:
        return False
    if not ours or not parameters:
        return True
    return related(_hint(wanted, ours[0].name), _hint(given, parameters[0].name))


def _hint(function: Any, name: str) -> Any:
    try:
        return typing.get_type_hints(function).get(name, Any)
    except (NameError, TypeError, AttributeError):  # names of another file, a wrapped callable
        return Any


def _is_a(kind: Any, other: Any) -> bool:
    if Any in (kind, other) or not (isinstance(kind, type) and isinstance(other, type)):
        return True  # nothing is known
    if getattr(other, "_is_protocol", False):
        return kind is other or all(hasattr(kind, name) for name in _attributes(other))
    return issubclass(kind, other)


def _noun(value: Any) -> str:
    return {str: "text", list: "a list", dict: "a mapping", bool: "true or false"}.get(
        type(value), "a number"
    )
