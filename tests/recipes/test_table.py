"""The table of recipes in docs/recipes.md: complete, and in the words of their docstrings."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

from segwright.recipes import _upstream_bugs, names, summary

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"


def rows() -> dict[str, tuple[str, str, str]]:
    """Of each recipe of the page: what it is, what was published, what ours gave."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if re.match(r"\| `\w+\.\w+` ", line):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            found[name.strip("`")] = tuple(cells)
    return found  # type: ignore[return-value]


def told(name: str) -> tuple[str, str]:
    """The same from the docstring: "what: published score."."""
    line = summary(name).removesuffix(".").replace("``", "`")
    what, _, published = line.partition(": published ")
    return what, published or "none"


def test_every_recipe_has_its_row_and_every_row_its_recipe() -> None:
    assert list(rows()) == [name for name in names() if name in rows()], "in the order of 'recipe list'"
    assert set(rows()) == set(names())


def test_rows_say_what_docstrings_say() -> None:
    assert {name: cells[:2] for name, cells in rows().items()} == {name: told(name) for name in names()}


def test_our_own_figures_are_there_or_said_to_be_missing() -> None:
    for name, (_, _, ours) in rows().items():
        assert ours == "not yet run" or re.search(r"\d+(\.\d+)? %.*\]\(\.\./benchmarks/results\.md", ours), (
            name
        )


def test_every_mistake_that_can_be_switched_on_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    kinds = {
        name: kind
        for name, kind in inspect.getmembers(_upstream_bugs, inspect.isclass)
        if name.startswith("Legacy")
    }
    assert len(kinds) == 4
    for name, kind in kinds.items():
        assert f"`{name}`" in text
        assert all(f"`{field.name}`" in text for field in fields(kind))
