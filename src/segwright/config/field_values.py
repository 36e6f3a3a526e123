"""The values of fields from text: the type of a field decides how its text is read."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Union

import yaml

from segwright.config.protocol_check import mismatch
from segwright.config.untrusted_yaml import BoundedReader
from segwright.errors import UserError

ByName = Callable[[str, type, str], Any]
"""The object that a name stands for, for a field of this type; the last argument begins the message of an error."""


def coerce(value: Any, kind: Any, where: str, by_name: ByName | None = None) -> Any:
    """``value`` (of YAML) as ``kind``: the type of the field decides, so that the folder 007 stays "007".

    Numbers may be text such as 3e-4, tuples lists, and None is kept where it is allowed. An object must be of the
    dataclass, or implement the protocol, that the field asks for; else ``UserError``. ``by_name`` builds the object
    where a name stands in its place.
    """
    if isinstance(value, Unwritable):
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _coerce_union(value, arguments, where, kind, by_name)
    if kind in (bool, int, float, str, Path):
        return _coerce_scalar(value, kind, where)
    value = unwrapped(value, where, deep=origin is not tuple)
    if origin is Literal:
        if value in arguments:
            return value
        near = difflib.get_close_matches(str(value), [str(a) for a in arguments], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(f"{where}: {value!r} is not one of {', '.join(map(str, arguments))}{hint}")
    if origin is tuple:
        return _coerce_tuple(value, arguments, where, by_name)
    if by_name is not None and isinstance(value, str) and kind is not Any and isinstance(kind, type):
        value = by_name(value, kind, where)
    if kind is not Any and isinstance(kind, type) and (problem := mismatch(value, kind)):
        raise UserError(f"{where}: {problem}")
    return value


def value_of(text: str) -> Plain:
    """The text after ``--set NAME=``, with what YAML takes it for."""
    try:
        value = yaml.load(text, Loader=PlainReader) if text else ""
    except yaml.YAMLError:
        return Plain(
            text, UserError(f"{text!r} is not valid YAML; expected a value such as 3, [1, 2] or name")
        )
    return Plain(text, value.value if isinstance(value, Plain) else value)


def unwrapped(value: Any, where: str, *, deep: bool = True) -> Any:
    """What YAML takes ``value`` for; with ``deep`` also each item of a list."""
    if isinstance(value, Plain):
        value = value.value
    if isinstance(value, UserError):
        raise UserError(f"{where}: {value}")
    if deep and isinstance(value, list):
        return [unwrapped(item, where) for item in value]
    if deep and isinstance(value, dict):
        return {str(key): unwrapped(item, where) for key, item in value.items()}
    return value


@dataclasses.dataclass(frozen=True, slots=True)
class Unwritable:
    """Stands in a recipe read from a file for an object that the file could not hold, such as a module of torch."""

    text: str

    def __call__(self, *_: Any) -> Any:
        """``UserError``: the object exists only in the Python code that made it."""
        raise UserError(
            f"the recipe file holds only the text of {self.text}; put the object into a function or a dataclass of "
            "your own file, and name the file with --code FILE.py"
        )


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Plain:
    """A value without quotes, and its text: YAML reads 007 as 7 and on as True, but a field may hold text."""

    text: str
    value: Any

    def __str__(self) -> str:
        return self.text

    def as_text(self) -> str:
        """The text as it was typed, or what is inside its quotes."""
        quoted = len(self.text) > 1 and self.text[0] in "'\"" and self.text[-1] == self.text[0]
        return self.value if quoted and isinstance(self.value, str) else self.text

    def as_number(self) -> Any:
        """The number in its decimal sense: YAML reads 010 as 8, and 1:30 as 90."""
        for kind in (int, float):
            try:
                return kind(self.text)
            except ValueError:
                pass
        return self.text if ":" in self.text else self.value


class PlainReader(BoundedReader):
    """A safe loader that keeps the text of what YAML takes for a number, a switch, a date, null or a mapping."""


def _plain(loader: Any, node: yaml.Node) -> Plain:
    source: Any = node.start_mark.buffer  # the whole text: no file is read here
    text = str(source[node.start_mark.pointer : node.end_mark.pointer]).rstrip("\0")
    try:
        if isinstance(node, yaml.MappingNode):
            return Plain(text, loader.construct_mapping(node, deep=True))
        return Plain(text, yaml.SafeLoader.yaml_constructors[node.tag](loader, node))
    except ValueError:  # a date such as 2024-13-45
        return Plain(text, text)


for _tag in ("int", "float", "bool", "timestamp", "null", "map"):
    PlainReader.add_constructor(f"tag:yaml.org,2002:{_tag}", _plain)


def _coerce_union(value: Any, kinds: tuple[Any, ...], where: str, union: Any, by_name: ByName | None) -> Any:
    plain = value.value if isinstance(value, Plain) else value
    if plain is None and type(None) in kinds:
        return None
    errors = []
    for kind in sorted(kinds, key=lambda kind: kind is str):  # text fits everything, so it comes last
        if kind is not type(None):
            try:
                return coerce(value, kind, where, by_name)
            except UserError as error:
                errors.append(error)
    raise errors[0] if errors else UserError(f"{where}: {value!r} is not {union}")


def _coerce_tuple(value: Any, kinds: tuple[Any, ...], where: str, by_name: ByName | None) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise UserError(f"{where}: {unwrapped(value, where)!r} is not a list; expected [a, b, ...]")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(coerce(item, kinds[0], where, by_name) for item in value)
    if len(value) != len(kinds):
        raise UserError(f"{where}: {len(value)} values; expected {len(kinds)}")
    return tuple(coerce(item, kind, where, by_name) for item, kind in zip(value, kinds, strict=True))


def _coerce_scalar(value: Any, kind: type, where: str) -> Any:
    if isinstance(value, Plain) and value.value is None and not value.text:
        raise UserError(f"{where}: has no value; expected one after the colon, or '' for an empty text")
    if isinstance(value, Plain) and kind in (str, Path):
        value = value.as_text()
    elif isinstance(value, Plain):
        value = value.as_number() if kind in (int, float) else value.value
    value = unwrapped(value, where)
    if kind is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    elif kind is int and isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)  # such as 1e4
    elif kind is str and isinstance(value, str | int | float):
        return str(value)
    elif kind is Path and isinstance(value, str):
        return Path(value)
    elif (kind is int and isinstance(value, int) and not isinstance(value, bool)) or (
        kind is bool and isinstance(value, bool)
    ):
        return value
    raise UserError(f"{where}: {value!r} is not of type {kind.__name__}")
