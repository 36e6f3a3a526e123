"""Recipes as text: YAML whose tags are class names, and ``--set a.b=c``. Both are checked against the fields' types."""

from __future__ import annotations

import dataclasses
import difflib
import re
import sys
import traceback
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from segwright.errors import RunError, UserError
from segwright.field_values import PlainReader, Unwritable, coerce, unwrapped, value_of
from segwright.named_objects import object_named, public_classes
from segwright.parallel import CODE_PREFIX, import_file
from segwright.setting_names import REMEDIES, SYNONYMS


def to_yaml(config: Any) -> str:
    """The text of a dataclass and all that it contains; ``from_yaml`` reads it back.

    A tag is the name of a class of segwright (``!RandomCrop``), or file and class of a user's file (``!mine:Land``).
    """
    return yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def from_yaml(text: str, *, where: str = "recipe", code: types.ModuleType | None = None) -> Any:
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


def find_class(name: str, code: types.ModuleType | None, where: str) -> type:
    """The dataclass that the tag ``name`` stands for; ``UserError`` if it is neither in segwright nor in ``code``."""
    module, separator, class_name = name.rpartition(":")
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
    kind = _of_code(class_name, name, code, where)
    if not _is_dataclass(kind):
        raise UserError(f"{where}: !{name} is not a dataclass; expected a class with @dataclass")
    return typing.cast(type, kind)


def find_function(name: str, code: types.ModuleType | None, where: str) -> Callable[..., Any]:
    """The function of the user's file that ``FILE:NAME`` names."""
    function = _of_code(name.rpartition(":")[2], name, code, where)
    if not callable(function):
        raise UserError(f"{where}: {name} is not a function")
    return typing.cast(Callable[..., Any], function)


def _of_code(attribute: str, name: str, code: types.ModuleType | None, where: str) -> Any:
    if code is None:
        raise UserError(
            f"{where}: {name} is not of segwright; name the file that defines it with --code FILE.py"
        )
    if not hasattr(code, attribute):
        file = code.__name__.removeprefix(CODE_PREFIX)
        raise UserError(
            f"{where}: {file}.py does not define {attribute!r}; expected the class or function {name}"
        )
    return getattr(code, attribute)


def load_code(path: Path) -> types.ModuleType:
    """The module of a user's own file, run once."""
    if not path.is_file():
        raise UserError(f"{path}: does not exist; expected a file with Python code")
    name, path = f"{CODE_PREFIX}{path.stem}", path.resolve()
    known = sys.modules.get(name)
    if known is not None and known.__file__ and Path(known.__file__) == path:
        return known
    with errors_of_code(path):
        return import_file(name, path)


@contextmanager
def errors_of_code(path: Path) -> Iterator[None]:
    """Turn an exception of the user's file into a ``UserError`` that names the file and the line."""
    try:
        yield
    except (UserError, RunError, OSError):
        raise
    except SystemExit as error:
        raise UserError(
            f"{path}: ends the program (exit code {error.code}); expected code that returns"
        ) from error
    except SyntaxError as error:
        file = error.filename or path
        raise UserError(f"{file}, line {error.lineno}: not valid Python ({error.msg}); correct it") from error
    except Exception as error:
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
        ]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        raise UserError(
            f"{where}: {type(error).__name__}: {error}; correct the file (--debug shows the traceback)"
        ) from error


def _construct(kind: type, values: dict[Any, Any], where: str) -> Any:
    version = getattr(kind, "FORMAT", None)
    if version is not None:
        _check_version(unwrapped(values.pop("format", version), where), version, where)
    types_ = field_types(kind)
    for name in values:
        require_field(kind, str(name), where)
    arguments = {
        n: coerce(v, types_[n], f"{where}, {kind.__name__}.{n}", object_named) for n, v in values.items()
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
    if isinstance(data, types.FunctionType) and data.__qualname__.isidentifier():
        return dumper.represent_scalar("!function", tag_of(data))
    text = re.sub(r" at 0x[0-9a-f]+", "", repr(data).split("\n")[0])  # an address differs from run to run
    return dumper.represent_scalar("!unwritable", text)


def tag_of(kind: Any) -> str:
    """The name of a class or function in YAML: its plain name if it is part of segwright, else ``FILE:NAME``."""
    module, name = kind.__module__, kind.__qualname__
    if module.partition(".")[0] == "segwright":
        return str(name)
    return f"{module.removeprefix(CODE_PREFIX)}:{name}"


_Dumper.add_multi_representer(object, _represent)


def _represent_tuple(dumper: yaml.SafeDumper, data: tuple[Any, ...]) -> yaml.Node:
    plain = all(isinstance(item, int | float | str | tuple) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=plain)


_Dumper.add_representer(tuple, _represent_tuple)


def override(config: Any, changes: Iterable[str]) -> None:
    """Set fields of ``config`` in place from ``path=value`` texts; ``UserError`` names the nearest field.

    A name stands for an object: "model=unet" for ``UNetConfig()``, "model.backbone=convnext_tiny" for a network of timm
    (``object_named``). The new object keeps what does not depend on its class: pretrained weights and output stride, or
    what an optimizer does not train and the factors of its learning rate. Objects are set before their fields, whatever
    the order of the texts. At the end ``config.settle(paths)``, if there is one, adapts what depends on the changed
    fields.
    """
    paths = set()
    for change in sorted(changes, key=lambda change: change.partition("=")[0].count(".")):
        path, separator, text = change.partition("=")
        if not separator:
            raise UserError(f"--set {change}: no '='; expected a.b=value, for example optim.lr=3e-4")
        paths.add(path)
        *parents, last = path.split(".")
        _suggest_nested_field(config, path, change)
        owner = config
        for name in parents:
            owner = _inside(owner, name, change)
        kind = type(owner)
        require_field(kind, last, f"--set {change}")
        value = coerce(value_of(text), field_types(kind)[last], f"--set {change}", object_named)
        if dataclasses.is_dataclass(value):
            value = _inherit(value, getattr(owner, last))
        if type(owner).__dataclass_params__.frozen:
            object.__setattr__(owner, last, value)
        else:
            setattr(owner, last, value)
    if callable(settle := getattr(config, "settle", None)):
        settle(paths)


_INDEPENDENT_OF_CLASS = (
    "weights", "output_stride",
    "head_lr_factor", "backbone_lr_factor", "bias_lr_factor", "layer_decay", "decay_norm_and_bias", "frozen",
    "freeze_norm_affine", "freeze_norm_statistics",
)  # fmt: skip


def _inherit(value: Any, earlier: Any) -> Any:
    """``value``, which replaces the object ``earlier``, with the fields that mean the same in both classes.

    A learning rate does not: AdamW needs another than SGD. An object of the same class is ``earlier`` itself.
    """
    if type(value) is type(earlier) and hasattr(value, "lr"):
        return earlier
    for name in _INDEPENDENT_OF_CLASS:
        if hasattr(value, name) and hasattr(earlier, name):
            setattr(value, name, getattr(earlier, name))
    return value


def _suggest_nested_field(config: Any, path: str, change: str) -> None:
    """``UserError`` with the paths of the fields called ``path`` inside ``config``, unless it has one itself."""
    own = [field.name for field in dataclasses.fields(config)]
    if "." in path or path in own:
        return
    name = SYNONYMS.get(path, path)
    nested = [name] if name in own else []
    nested += [
        f"{parent}.{name}"
        for parent, part in parts(config)
        if parent and any(field.name == name for field in dataclasses.fields(part))
    ]
    nested.sort(key=lambda field: not field.startswith(("training.", "optim.")))
    if nested:
        raise UserError(f"--set {change}: did you mean {' or '.join(nested[:3])}?")
    if path in REMEDIES and "training" in own:
        raise UserError(f"--set {change}: a recipe has no field {path!r}; {REMEDIES[path]}")


def settings(changes: Iterable[str]) -> dict[str, Any]:
    """The values of ``name=value`` texts by name; ``coerce`` reads each by the type of its field."""
    values = {}
    for change in changes:
        name, separator, text = change.partition("=")
        if not separator:
            raise UserError(f"--set {change}: no '='; expected name=value, for example align_corners=true")
        values[name] = value_of(text)
    return values


def _inside(owner: Any, name: str, change: str) -> Any:
    if isinstance(owner, tuple):  # terms.0.weight
        if not name.isdigit() or int(name) >= len(owner):
            raise UserError(
                f"--set {change}: {name!r} is not an index of {len(owner)} items; indices start at 0"
            )
        return owner[int(name)]
    require_field(type(owner), name, f"--set {change}")
    return getattr(owner, name)


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


def field_types(kind: type) -> dict[str, Any]:
    """The annotated types of a dataclass's fields."""
    return typing.get_type_hints(kind)


def _is_dataclass(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def parts(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The dataclass and all dataclasses inside it, outermost first, each with its path: "loss.terms.0"."""
    if isinstance(config, tuple | list):
        for index, item in enumerate(config):
            yield from parts(item, f"{path}.{index}")
    elif dataclasses.is_dataclass(config) and not isinstance(config, type):
        yield path, config
        for field_ in dataclasses.fields(config):
            value = getattr(config, field_.name, None)
            yield from parts(value, f"{path}.{field_.name}" if path else field_.name)


def walk(config: Any) -> list[Any]:
    """The dataclass and all dataclasses inside it, outermost first."""
    return [inner for _, inner in parts(config)]
