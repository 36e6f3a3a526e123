"""Reference of the Python interface: a page per public package, with the docstrings of its public names."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections import defaultdict
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import segwright
from docs.website import markup
from docs.website.signatures import annotation, default_text

FILES = ("contracts", "samples", "labels", "errors")
"""Modules of their own, outside packages, that users meet."""
NOT_PUBLIC = ("segwright.cli",)


@cache
def packages() -> dict[str, ModuleType]:
    """The public packages by name: those that list public names; and a few files."""
    names = ["segwright"] + [
        info.name
        for info in pkgutil.walk_packages(segwright.__path__, "segwright.")
        if info.ispkg and info.name not in NOT_PUBLIC
    ]
    modules = {name: importlib.import_module(name) for name in names}
    modules = {name: module for name, module in modules.items() if public_names(module)}
    return modules | {f"segwright.{file}": importlib.import_module(f"segwright.{file}") for file in FILES}


def public_names(module: ModuleType) -> dict[str, Any]:
    """The public names of a package or file, except packages in it, with their objects."""
    if hasattr(module, "__all__"):
        names = {name: getattr(module, name) for name in module.__all__}
    else:
        documented = _constant_docstrings(module)
        names = {
            n: thing for n, thing in vars(module).items() if _is_defined_in(thing, module) or n in documented
        }
    return {name: thing for name, thing in names.items() if not inspect.ismodule(thing) and name[0] != "_"}


@cache
def homes() -> dict[str, dict[str, str]]:
    """For each package and public name: the package whose page documents it. Each object is documented once.

    It is the package in which the object is defined, or else the one that offers it, ``segwright`` for example.
    """
    modules = packages()
    offers = defaultdict(list)
    for package, module in modules.items():
        for thing in public_names(module).values():
            offers[id(thing)].append(package)

    def home(thing: Any) -> str:
        defined = f"{getattr(thing, '__module__', '')}."
        return max(
            offers[id(thing)], key=lambda package: len(package) if defined.startswith(f"{package}.") else 0
        )

    return {
        package: {name: home(thing) for name, thing in public_names(module).items()}
        for package, module in modules.items()
    }


def write_api(folder: Path) -> None:
    """Write the pages of all packages, and the page that lists them."""
    target = folder / "reference" / "api"
    target.mkdir(parents=True)
    modules, home = packages(), homes()
    rows = []
    for package, module in modules.items():
        (target / f"{package}.rst").write_text(_page(module, home[package]), encoding="utf-8")
        rows.append([f":doc:`{package} <api/{package}>`", markup.summary(module)])
    text = "\n".join(
        [
            markup.title("Python API"),
            "Every public package, class and function. Most programs need only those of ``segwright`` itself.",
            "Shapes of arrays and tensors are part of their types:",
            '``Float[Tensor, "images classes height width"]`` is a tensor of floats with four dimensions.',
            "",
            markup.list_table(["package", "content"], rows, "30 70"),
            markup.toctree([f"api/{package}" for package in modules], "hidden"),
        ]
    )
    (folder / "reference" / "api.rst").write_text(text, encoding="utf-8")


def _page(module: ModuleType, home: dict[str, str]) -> str:
    package = module.__name__
    things = public_names(module)
    if hasattr(module, "__path__"):
        things = _in_order(things, module)
    own = [name for name in things if home[name] == package]
    lines = [
        markup.title(package),
        f".. py:module:: {package}",
        "",
        markup.prose(markup.docstring(module)),
        "",
    ]
    rows = [[_link(home[name], name, thing), _summary(module, name, thing)] for name, thing in things.items()]
    lines += [markup.list_table(["name", "what it is"], rows, "30 70")]
    files = _by_file(own, things) if hasattr(module, "__path__") and module is not segwright else {None: own}
    for file, names in files.items():
        if file is not None and len(own) > 1:
            lines += [
                markup.title(_heading(file, package), "-"),
                markup.summary(importlib.import_module(file)),
                "",
            ]
        for name in names:
            lines += [_entry(package, name, things[name]), ""]
    return "\n".join(lines)


def _in_order(things: dict[str, Any], module: ModuleType) -> dict[str, Any]:
    """The names file by file, in the order in which the docstring of the package lists its files."""
    listed = inspect.getdoc(module) or ""

    def position(name: str) -> int:
        file = str(getattr(things[name], "__module__", None) or "").rpartition(".")[2]
        wanted = rf"\b{name}\b" if module is segwright else rf"\b{file}\b(``|\.py|  )"
        match = re.search(wanted, listed.partition("\n")[2])
        return match.start() if match else len(listed)

    return {name: things[name] for name in sorted(things, key=lambda name: (position(name), name.lower()))}


def _by_file(names: list[str], things: dict[str, Any]) -> dict[str | None, list[str]]:
    files: dict[str | None, list[str]] = {}
    for name in names:
        module = getattr(things[name], "__module__", None) or ""
        files.setdefault(module if module.startswith("segwright.") else None, []).append(name)
    return files


def _heading(file: str, package: str) -> str:
    return file.removeprefix(f"{package}.").removeprefix("segwright.")


def _link(home: str, name: str, thing: Any) -> str:
    role = "class" if inspect.isclass(thing) else "func" if inspect.isroutine(thing) else "data"
    return f":py:{role}:`{name} <{home}.{name}>`"


def _summary(module: ModuleType, name: str, thing: Any) -> str:
    return markup.summary(thing) if _has_docstring(thing) else _constant_docstrings(module).get(name, "")


def _entry(package: str, name: str, thing: Any) -> str:
    if inspect.isclass(thing) and _is_ours(thing):
        directive = "autoexception" if issubclass(thing, Exception) else "autoclass"
        return f".. {directive}:: {package}.{name}\n   :members:\n   :special-members: __call__\n"
    if inspect.isroutine(thing):
        return f".. autofunction:: {package}.{name}\n"
    text = _constant_docstrings(importlib.import_module(package)).get(name, "")
    return f".. py:data:: {name}\n\n{markup.indent(f'{text} {_content(thing)}'.strip())}\n"


def _content(constant: Any) -> str:
    """What a constant is made of: the keys of a table, the members of a union."""
    if isinstance(constant, dict | tuple):
        return f"{', '.join(f'``{default_text(key)}``' for key in constant)}."
    return f"``{annotation(constant)}``."


@cache
def _constant_docstrings(module: ModuleType) -> dict[str, str]:
    """The constants of a file, or of all files of a package, with the text that stands below each."""
    names = [
        f"{module.__name__}.{info.name}" for info in pkgutil.iter_modules(getattr(module, "__path__", ()))
    ]
    docstrings: dict[str, str] = {}
    for file in [module, *map(importlib.import_module, names)]:
        body = ast.parse(inspect.getsource(file)).body
        for statement, below in pairwise(body):
            match statement, below:
                case (
                    ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    docstrings[name] = markup.as_rst(inspect.cleandoc(text))
    return docstrings


def _has_docstring(thing: Any) -> bool:
    return (inspect.isclass(thing) or inspect.isroutine(thing)) and _is_ours(thing)


def _is_ours(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).startswith("segwright")


def _is_defined_in(thing: Any, module: ModuleType) -> bool:
    return (inspect.isclass(thing) or inspect.isroutine(thing)) and getattr(
        thing, "__module__", ""
    ) == module.__name__
