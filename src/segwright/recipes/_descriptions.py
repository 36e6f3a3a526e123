"""Names and descriptions of the built-in recipes, read from their files without importing them: that takes seconds."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent
FILES = tuple(sorted(path.stem for path in _FOLDER.glob("*.py") if not path.name.startswith("_")))
"""The files with recipes, without their suffix."""


class RecipeDescription(NamedTuple):
    """What the docstring of a recipe says.

    ``summary`` is its first line and ``command`` starts the training. ``published`` are the scores that the authors of
    the settings report, and ``measured`` those that segwright reached; both are empty where there are none.
    """

    summary: str
    command: str
    published: str
    measured: str


def recipe_names() -> list[str]:
    """The names of all built-in recipes, sorted: FILE.FUNCTION of the public functions."""
    return sorted(name for file in FILES for name in _docstrings(file) if name != file)


def describe_recipe(name: str) -> RecipeDescription:
    """The parts of a recipe's docstring; ``KeyError`` for an unknown name."""
    text = _docstrings(name.partition(".")[0])[name]
    summary, *paragraphs = re.split(r"\n\s*\n", text)
    command = next((p for p in paragraphs if re.match(r"(torchrun .* -m )?segwright train ", p)), "")
    lines = {label: _labeled(text, label) for label in ("Published", "Measured")}
    return RecipeDescription(summary, command, published=lines["Published"], measured=lines["Measured"])


def describe_file(file: str) -> str:
    """What the recipes of a file are for: its docstring."""
    return _docstrings(file)[file]


@cache
def _docstrings(file: str) -> dict[str, str]:
    """The docstrings of a file and of its recipes, by their names."""
    if file not in FILES:
        raise KeyError(file)
    module = ast.parse((_FOLDER / f"{file}.py").read_bytes())
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    return {file: ast.get_docstring(module) or ""} | {
        f"{file}.{function.name}": ast.get_docstring(function) or ""
        for function in functions
        if not function.name.startswith("_")
    }


def _labeled(text: str, label: str) -> str:
    """The text that follows ``label:`` at the beginning of a line, up to the next empty line, on one line."""
    match = re.search(rf"^{label}: (.+?)(?=\n\s*\n|\n[A-Z]\w+: |\Z)", text, re.MULTILINE | re.DOTALL)
    return " ".join(match.group(1).split()) if match else ""
