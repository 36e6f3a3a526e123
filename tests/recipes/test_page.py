"""docs/recipes.md: generated from the docstrings of the recipes, and up to date."""

from __future__ import annotations

import inspect
import re
import runpy
from dataclasses import fields
from pathlib import Path

import pytest

from segwright.recipes import _upstream_bugs, describe_recipe, recipe_names

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    generated = runpy.run_path(str(DOCS / "generate_recipes.py"))["page"]()
    assert (DOCS / "recipes.md").read_text(encoding="utf-8") == generated, "run 'make docs'"


@pytest.mark.parametrize("name", recipe_names())
def test_a_docstring_says_what_a_recipe_is_and_how_to_start_it(name: str) -> None:
    recipe = describe_recipe(name)
    assert re.fullmatch(r"[^\n]+\.", recipe.summary)
    assert re.match(rf"(torchrun --nproc-per-node \d -m )?segwright train {re.escape(name)} ", recipe.command)


@pytest.mark.parametrize("name", recipe_names())
def test_scores_have_numbers(name: str) -> None:
    recipe = describe_recipe(name)
    assert re.match(r"$|none|\d\d\.\d+ (%|PQ)", recipe.published)
    assert re.match(r"$|\d\d\.\d %", recipe.measured)


def test_the_page_has_a_row_per_recipe_and_per_upstream_bug() -> None:
    text = (DOCS / "recipes.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+\.\w+)` ", text, re.MULTILINE) == recipe_names()
    classes = [kind for name, kind in inspect.getmembers(_upstream_bugs, inspect.isclass) if "Legacy" in name]
    assert len(classes) == 4
    for kind in classes:
        for field in fields(kind):
            assert re.search(
                rf"^\| `{kind.__name__}` \| .* \| `{field.name}` \| .{{20,}} \|$", text, re.MULTILINE
            )
