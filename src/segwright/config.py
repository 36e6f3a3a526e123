"""Recipes as text: YAML whose tags name the class, and ``--set a.b=c``. Both are typed by the dataclasses."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Union

import yaml

from segwright.errors import UserError


def to_yaml(thing: Any) -> str:
    """The text of a dataclass tree; ``from_yaml`` reads it back."""
    return yaml.dump(thing, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def from_yaml(text: str, *, where: str = "recipe", code: types.ModuleType | None = None) -> Any:
    """The tree that ``text`` describes. Only dataclasses of segwright, or of the module ``code``, are built."""

    class Reader(yaml.SafeLoader):
        """A safe loader that knows our tags."""

    def build(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
        place = f"{where}, line {node.start_mark.line + 1}"
        if not isinstance(node, yaml.MappingNode):
            raise UserError(f"{place}: !{suffix} wants fields; expected a mapping")
        return _construct(find_class(suffix, code, place), loader.construct_mapping(node, deep=True), place)

    Reader.add_multi_constructor("!", build)
    try:
        return yaml.load(text, Loader=Reader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{where}{line}: not valid YAML ({getattr(error, 'problem', error)})") from None


def find_class(name: str, code: types.ModuleType | None, where: str) -> type:
    """The dataclass named ``module:Class``; ``UserError`` for anything that is not ours or the user's own."""
    module_name, _, class_name = name.partition(":")
    if code is not None and module_name == code.__name__:
        module = code
    elif module_name == "segwright" or module_name.startswith("segwright."):
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError:
            raise UserError(f"{where}: no module {module_name!r}; was it renamed in this version?") from None
    else:
        raise UserError(
            f"{where}: !{name} is not of segwright; name the file that defines it with --code FILE.py"
        )
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise UserError(f"{where}: {module_name} has no dataclass {class_name!r}")
    return found


def load_code(path: Path) -> types.ModuleType:
    """The module of a user's own file, run once."""
    import importlib.util
    import sys

    if not path.is_file():
        raise UserError(f"{path}: no such file; expected Python code")
    name = f"code_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look their module up there
    spec.loader.exec_module(module)
    return module


def _construct(kind: type, values: dict[Any, Any], where: str) -> Any:
    types_ = field_types(kind)
    for name in values:
        require_field(kind, str(name), where)
    arguments = {n: coerce(v, types_[n], f"{where}, {kind.__name__}.{n}") for n, v in values.items()}
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {kind.__name__} cannot be made ({error})") from None


class _Dumper(yaml.SafeDumper):
    """Writes dataclasses as tagged mappings and tuples as lists."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out: a reader should not chase anchors."""
        return True


def _represent(dumper: yaml.SafeDumper, data: Any) -> yaml.Node:
    kind = type(data)
    if dataclasses.is_dataclass(kind):
        values = {f.name: getattr(data, f.name) for f in dataclasses.fields(kind) if f.init}
        return dumper.represent_mapping(f"!{kind.__module__}:{kind.__qualname__}", values)
    if isinstance(data, Path):
        return dumper.represent_str(str(data))
    raise UserError(f"{kind.__name__} cannot be written as YAML; expected dataclasses, numbers and text")


_Dumper.add_multi_representer(object, _represent)


def _represent_tuple(dumper: yaml.SafeDumper, data: tuple[Any, ...]) -> yaml.Node:
    plain = all(isinstance(item, int | float | str | tuple) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=plain)


_Dumper.add_representer(tuple, _represent_tuple)


def override(recipe: Any, changes: Iterable[str]) -> None:
    """Set fields of ``recipe`` in place from ``path=value`` texts; ``UserError`` names the nearest field."""
    for change in changes:
        path, separator, text = change.partition("=")
        if not separator:
            raise UserError(f"--set {change}: no '='; expected a.b=value, for example optim.lr=3e-4")
        *parents, last = path.split(".")
        thing = recipe
        for name in parents:
            thing = _inside(thing, name, change)
        kind = type(thing)
        require_field(kind, last, f"--set {change}")
        value = coerce(_value(text, change), field_types(kind)[last], f"--set {change}")
        if type(thing).__dataclass_params__.frozen:
            object.__setattr__(thing, last, value)
        else:
            setattr(thing, last, value)


def settings(changes: Iterable[str]) -> dict[str, Any]:
    """The values of ``name=value`` texts by name, lists as tuples."""
    found = {}
    for change in changes:
        name, separator, text = change.partition("=")
        if not separator:
            raise UserError(f"--set {change}: no '='; expected name=value, for example align_corners=true")
        value = _value(text, change)
        found[name] = tuple(value) if isinstance(value, list) else value
    return found


def _value(text: str, change: str) -> Any:
    try:
        return yaml.safe_load(text) if text else ""
    except yaml.YAMLError:
        raise UserError(
            f"--set {change}: {text!r} is no YAML; expected a value such as 3, [1, 2] or name"
        ) from None


def _inside(thing: Any, name: str, change: str) -> Any:
    if isinstance(thing, tuple):  # terms.0.weight
        if not name.isdigit() or int(name) >= len(thing):
            raise UserError(
                f"--set {change}: {name!r} is no place in a tuple of {len(thing)}; expected 0 and up"
            )
        return thing[int(name)]
    require_field(type(thing), name, f"--set {change}")
    return getattr(thing, name)


def require_field(kind: type, name: str, where: str) -> None:
    """``UserError`` with the nearest name unless the dataclass ``kind`` has a field ``name``."""
    if not dataclasses.is_dataclass(kind):
        raise UserError(f"{where}: {kind.__name__} has no fields, so {name!r} cannot be set")
    names = [f.name for f in dataclasses.fields(kind)]
    if name in names:
        return
    near = difflib.get_close_matches(name, names, 1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names)}"
    raise UserError(f"{where}: {kind.__name__} has no field {name!r}; {hint}")


def field_types(kind: type) -> dict[str, Any]:
    """The annotated types of a dataclass's fields."""
    return typing.get_type_hints(kind)


def coerce(value: Any, kind: Any, where: str) -> Any:
    """``value`` (of YAML) as ``kind``: numbers from text such as 3e-4, tuples from lists, None where allowed."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _coerce_union(value, arguments, where, kind)
    if origin is Literal:
        if value in arguments:
            return value
        near = difflib.get_close_matches(str(value), [str(a) for a in arguments], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(f"{where}: {value!r} is not one of {', '.join(map(str, arguments))}{hint}")
    if origin is tuple:
        return _coerce_tuple(value, arguments, where)
    if kind in (bool, int, float, str, Path):
        return _coerce_scalar(value, kind, where)
    return value  # a thing of its own (a loss, a model): already built


def _coerce_union(value: Any, kinds: tuple[Any, ...], where: str, union: Any) -> Any:
    if value is None and type(None) in kinds:
        return None
    errors = []
    for kind in kinds:
        if kind is not type(None):
            try:
                return coerce(value, kind, where)
            except UserError as error:
                errors.append(error)
    raise errors[0] if errors else UserError(f"{where}: {value!r} is not {union}")


def _coerce_tuple(value: Any, kinds: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise UserError(f"{where}: {value!r} is not a list; expected [a, b, ...]")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(coerce(item, kinds[0], where) for item in value)
    if len(value) != len(kinds):
        raise UserError(f"{where}: {len(value)} values; expected {len(kinds)}")
    return tuple(coerce(item, kind, where) for item, kind in zip(value, kinds, strict=True))


def _coerce_scalar(value: Any, kind: type, where: str) -> Any:
    if kind is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    elif kind is str and isinstance(value, str | int | float):
        return str(value)
    elif kind is Path and isinstance(value, str):
        return Path(value)
    elif (kind is int and isinstance(value, int) and not isinstance(value, bool)) or (
        kind is bool and isinstance(value, bool)
    ):
        return value
    raise UserError(f"{where}: {value!r} is not of type {kind.__name__}")
