"""Objects as YAML whose tags are class names, and back: recipes, and the models and decoders in model files."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import yaml

from segwright.config.field_values import PlainReader, Unwritable, coerce, unwrapped
from segwright.config.fields import field_types, require_field
from segwright.config.named_objects import object_named, public_classes
from segwright.config.user_code import CODE_PREFIX, code_attribute
from segwright.errors import UserError


def to_yaml(config: Any) -> str:
    """The text of a dataclass and all that it contains; ``from_yaml`` reads it back.

    A tag is the name of a class of segwright (``!RandomCrop``), or file and class of a user's file (``!mine:Land``).
    """
    return yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def from_yaml(text: str, *, where: str = "recipe", code: ModuleType | None = None) -> Any:
    """The dataclass that ``text`` describes. Only dataclasses of segwright, or of the module ``code``, are built."""

    class Reader(PlainReader):
        """A safe loader that knows our tags."""

    def build(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
        position = f"{where}, line {node.start_mark.line + 1}"
        if isinstance(node, yaml.ScalarNode) and suffix in ("function", "unwritable"):
            text = str(loader.construct_scalar(node))
            return Unwritable(text) if suffix == "unwritable" else find_function(text, code, position)
        if not isinstance(node, yaml.MappingNode):
            raise UserError(
                f"{position}: !{suffix} has no fields; expected a mapping, for example !{suffix} {{}}"
            )
        kind = find_class(suffix, code, position)
        return _construct(kind, loader.construct_mapping(node, deep=True), position)

    Reader.add_multi_constructor("!", build)
    try:
        return unwrapped(yaml.load(text, Loader=Reader), where)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{where}{line}: not valid YAML ({getattr(error, 'problem', error)})") from None


def find_class(name: str, code: ModuleType | None, where: str) -> type:
    """The dataclass that the tag ``name`` stands for; ``UserError`` if it is neither in segwright nor in ``code``."""
    module, separator, _ = name.rpartition(":")
    if module == "segwright" or module.startswith("segwright."):
        raise UserError(
            f"{where}: !{name} was written by an old version of segwright and cannot be read; write the recipe again "
            "with 'segwright recipe show', or train the model again"
        )
    if not separator:
        classes = public_classes()
        if name in classes:
            return classes[name]
        near = difflib.get_close_matches(name, classes, 1, cutoff=0.6)
        hint = f"did you mean !{near[0]}?" if near else "a class of your own is named !FILE:CLASS"
        raise UserError(f"{where}: segwright has no class {name!r}; {hint}")
    kind = code_attribute(name, code, where)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise UserError(f"{where}: !{name} is not a dataclass; expected a class with @dataclass")
    return kind


def find_function(name: str, code: ModuleType | None, where: str) -> Callable[..., Any]:
    """The function of the user's file that ``FILE:NAME`` names."""
    function: Callable[..., Any] = code_attribute(name, code, where)
    if not callable(function):
        raise UserError(f"{where}: {name} is not a function")
    return function


def tag_of(kind: Any) -> str:
    """The name of a class or function in YAML: its plain name if it is part of segwright, else ``FILE:NAME``."""
    module, name = kind.__module__, kind.__qualname__
    if module.partition(".")[0] == "segwright":
        return str(name)
    return f"{module.removeprefix(CODE_PREFIX)}:{name}"


def _construct(kind: type, values: dict[Any, Any], where: str) -> Any:
    version = getattr(kind, "FORMAT", None)
    if version is not None:
        _check_version(unwrapped(values.pop("format", version), where), version, where)
    types = field_types(kind)
    for name in values:
        require_field(kind, str(name), where)
    arguments = {
        n: coerce(v, types[n], f"{where}, {kind.__name__}.{n}", object_named) for n, v in values.items()
    }
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {kind.__name__} cannot be built ({error})") from None


def _check_version(version: Any, known: int, where: str) -> None:
    if version != known:
        newer = isinstance(version, int) and version > known
        remedy = "update segwright" if newer else "write it again with 'segwright recipe show'"
        raise UserError(
            f"{where}: format {version}; this version of segwright reads format {known}; {remedy}"
        )


class _Dumper(yaml.SafeDumper):
    """Writes dataclasses as tagged mappings and tuples as lists."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write repeated objects in full each time, so that nobody has to follow YAML anchors."""
        return True


def _represent(dumper: yaml.SafeDumper, data: Any) -> yaml.Node:
    kind = type(data)
    if isinstance(data, Unwritable):
        return dumper.represent_scalar("!unwritable", data.text)
    if dataclasses.is_dataclass(kind):
        values = {f.name: getattr(data, f.name) for f in dataclasses.fields(kind) if f.init}
        if (version := getattr(kind, "FORMAT", None)) is not None:
            values = {"format": version, **values}
        return dumper.represent_mapping(f"!{tag_of(kind)}", values)
    if isinstance(data, Path):
        return dumper.represent_str(str(data))
    if isinstance(data, FunctionType) and data.__qualname__.isidentifier():
        return dumper.represent_scalar("!function", tag_of(data))
    text = re.sub(r" at 0x[0-9a-f]+", "", repr(data).split("\n")[0])  # an address differs from run to run
    return dumper.represent_scalar("!unwritable", text)


def _represent_tuple(dumper: yaml.SafeDumper, data: tuple[Any, ...]) -> yaml.Node:
    plain = all(isinstance(item, int | float | str | tuple) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=plain)


_Dumper.add_multi_representer(object, _represent)
_Dumper.add_representer(tuple, _represent_tuple)
