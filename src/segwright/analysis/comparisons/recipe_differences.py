"""The settings in which two recipes, or two environments, differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

LEFT_OUT = ("started", "command", "resumed", "data")
"""Parts of the metadata of a run that differ between any two runs, or are compared elsewhere."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that differs: its dotted name and its two values as text, None where it does not exist."""

    name: str
    first: str | None
    second: str | None


def recipe_differences(first: str, second: str) -> list[Setting]:
    """The settings in which two recipes in YAML differ, in the order of the first one. No object is built from them."""
    return _differences(
        *(dict(_settings(yaml.compose(text, Loader=yaml.SafeLoader))) for text in (first, second))
    )


def environment_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Setting]:
    """The entries in which the metadata of two runs differ (``run.json``), without ``LEFT_OUT``."""
    return _differences(*(dict(_entries(values)) for values in (first, second)))


def _differences(first: dict[str, str], second: dict[str, str]) -> list[Setting]:
    return [
        Setting(name, first.get(name), second.get(name))
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    ]


def _settings(node: yaml.Node | None, path: str = "") -> Iterator[tuple[str, str]]:
    """(dotted name, text) of every scalar and list of scalars below a node; an object has its class under its name."""
    if node is None:
        return
    if path and node.tag.startswith("!"):
        yield path, node.tag[1:]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _settings(value, f"{path}.{key.value}" if path else str(key.value))
    elif isinstance(node, yaml.SequenceNode):
        if all(isinstance(item, yaml.ScalarNode) for item in node.value):
            yield path, "[" + ", ".join(str(item.value) for item in node.value) + "]"
        else:
            for index, item in enumerate(node.value):
                yield from _settings(item, f"{path}.{index}")
    elif not node.tag.startswith("!"):
        yield path, str(node.value)


def _entries(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if not path and key in LEFT_OUT:
            continue
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _entries(value, name)
        else:
            yield name, str(value)
