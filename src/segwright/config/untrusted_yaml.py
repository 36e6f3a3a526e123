"""Reads untrusted YAML: safe types only, and no file whose aliases or nesting exhaust the memory."""

from __future__ import annotations

from typing import Any

import yaml

MAX_VALUES = 1_000_000
"""A file whose aliases stand for more values is refused (a few lines can stand for 10^12)."""


class BoundedReader(yaml.SafeLoader):
    """A safe loader that raises ``YAMLError`` for too many values behind aliases, and for too deep nesting."""

    def get_single_node(self) -> Any:
        """The root of the document, None if it is empty."""
        try:
            root = super().get_single_node()
            _count(root, {})
        except RecursionError:
            raise yaml.YAMLError("it is nested too deeply, or refers to itself") from None
        return root


def _count(node: Any, counts: dict[int, int]) -> int:
    """The number of values below ``node``, with those of its aliases; ``YAMLError`` above ``MAX_VALUES``."""
    known = counts.get(id(node))
    if known is None:
        known = 1
        for child in node.value if isinstance(node, yaml.CollectionNode) else ():
            parts = child if isinstance(child, tuple) else (child,)
            known += sum(_count(part, counts) for part in parts)
        counts[id(node)] = known
    if known > MAX_VALUES:
        raise yaml.YAMLError(f"its aliases stand for more than {MAX_VALUES:,} values")
    return known
