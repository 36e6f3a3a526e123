"""A recipe as YAML with comments: each stands above the field that it explains."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from segwright.config import to_yaml

WIDTH = 100


def commented_yaml(config: Any, comments: Mapping[str, str], notes: Sequence[str] = ()) -> str:
    """``to_yaml(config)`` with comments, by the path of their field: "loss.terms.0.weight"; ``from_yaml`` reads it.

    ``notes`` are comments at the beginning. ``ValueError`` for a path that the file does not have.
    """
    text = to_yaml(config)
    marks = dict(_fields(yaml.compose(text, Loader=yaml.SafeLoader), ""))
    if unknown := sorted({*comments} - {*marks}):
        raise ValueError(f"the recipe has no field {unknown[0]}")
    above: dict[int, list[str]] = {}
    for path, comment in comments.items():
        number, column = marks[path]
        above.setdefault(number, []).extend(_comment(comment, column))
    lines = [line for note in notes for line in _comment(note, 0)]
    for number, line in enumerate(text.splitlines()):
        lines += [*above.get(number, ()), line]
    return "\n".join(lines) + "\n"


def _fields(node: Any, path: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """The path of every field below ``node``, with line and column of its name."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = f"{path}.{key.value}" if path else str(key.value)
            yield inner, (key.start_mark.line, key.start_mark.column)
            yield from _fields(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _fields(item, f"{path}.{index}")


def _comment(text: str, column: int) -> list[str]:
    indent = " " * column + "# "
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
