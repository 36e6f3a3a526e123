"""The generated reference: every public name, every verb with its options, every field of a recipe."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import segwright as sw
from docs.website import api, fields, signatures, verbs
from segwright.cli.main import build_parser
from segwright.config import parts
from segwright.recipes import load_recipe, recipe_names


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all pages of the reference, as reStructuredText."""
    folder = tmp_path_factory.mktemp("reference")
    verbs.write_verbs(folder)
    fields.write_fields(folder)
    api.write_api(folder)
    return folder / "reference"


def public_packages() -> Iterator[str]:
    yield "segwright"
    for info in pkgutil.walk_packages(sw.__path__, "segwright."):
        if info.ispkg and not info.name.startswith("segwright.cli"):
            yield info.name


def test_every_public_name_has_one_entry(folder: Path) -> None:
    pages = {path.stem: path.read_text() for path in (folder / "api").glob("*.rst")}
    entries = re.findall(r"^\.\. auto\w+:: (.*)$", "\n".join(pages.values()), re.MULTILINE)
    for package, page in pages.items():
        entries += [f"{package}.{name}" for name in re.findall(r"^\.\. py:data:: (.*)$", page, re.MULTILINE)]
    for package in public_packages():
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", ()):
            if name[0] != "_" and not inspect.ismodule(getattr(module, name)):
                links = set(re.findall(rf"- :py:\w+:`{name} <(.*)>`", pages[package]))
                assert len(links) == 1, (package, name)
                assert entries.count(links.pop()) == 1, (package, name)


def test_every_public_name_says_what_it_is(folder: Path) -> None:
    for path in (folder / "api").glob("*.rst"):
        assert not re.findall(r"- :py:\w+:`(\w+) .*\n +- *\n", path.read_text()), path.stem


def test_signatures_show_shapes_and_defaults_as_the_code_does() -> None:
    text, result = signatures.signature(sw.InputContract.normalize)
    assert text == "(images: Tensor)"
    assert str(result).replace('"', "'") == "Float[Tensor, 'images channels height width']"
    text, _ = signatures.signature(sw.Recipe)
    assert "name: str, data: DataConfig" in text
    assert "optim: OptimizerConfig = AdamW()" in text


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    choices = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not choices:
        yield parser
    for below in choices:
        for child in below.values():
            yield from commands(child)


def test_every_verb_has_a_page_with_all_its_options(folder: Path) -> None:
    for parser in commands(build_parser()):
        name = parser.prog.removeprefix("segwright ").replace(" ", "-")
        page = (folder / "commands" / f"{name}.rst").read_text()
        assert page.startswith(f"{parser.prog}\n====")
        assert re.search(r":caption: Example\n.*\n\n   segwright ", page), name
        entries = "\n".join(re.findall(r"^\.\. option:: (.*)$", page, re.MULTILINE))
        for option in re.findall(r"(?<![\w-])--[\w-]+", parser.format_usage()):
            assert option in entries, (name, option)
        assert page.count(".. option::") == len(parser._actions)


def test_options_say_their_default_once(folder: Path) -> None:
    page = (folder / "commands" / "evaluate.rst").read_text()
    entry = page.partition(".. option:: --split SPLIT\n")[2].partition(".. option::")[0]
    assert entry.strip() == "Split to evaluate on. Default: ``val``."


def test_every_field_of_every_recipe_has_an_entry(folder: Path) -> None:
    text = "\n".join(path.read_text() for path in (folder / "fields").glob("*.rst"))
    listed = set(re.findall(r"^\.\. py:attribute:: (\w+\.\w+)$", text, re.MULTILINE))
    for name in recipe_names():
        for _, owner in parts(load_recipe(name)):
            for field in dataclasses.fields(owner):
                if field.init:
                    assert f"{type(owner).__name__}.{field.name}" in listed, name


def test_every_field_has_a_meaning() -> None:
    assert fields.undocumented() == []


def test_a_field_shows_type_default_range_and_meaning(folder: Path) -> None:
    page = (folder / "fields" / "recipe.rst").read_text()
    entry = page.partition("py:attribute:: Training.clip_norm\n")[2].partition(".. py:attribute::")[0]
    assert ":type: float | None" in entry
    assert ":value: None" in entry
    assert "limits the norm of the gradients" in entry
    assert "(0, inf)" in entry
