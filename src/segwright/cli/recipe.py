"""The verbs under ``segwright recipe``; suggest has a file of its own."""

from __future__ import annotations

import argparse

from segwright.cli import suggest
from segwright.cli.options import Verbs, add_code, add_set, add_verb
from segwright.cli.recipe_list import recipe_list


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs to the group ``recipe``."""
    text = "list all built-in recipes, and which one to use for what"
    add_verb(verbs, "list", _list, text, "segwright recipe list")
    example = "segwright recipe show camvid.quick > mine.yaml"
    show = add_verb(verbs, "show", _show, "print a recipe as YAML", example)
    show.add_argument("name", help="NAME, FILE.yaml or FILE.py:function")
    add_set(show)
    add_code(show)
    suggest.add(verbs)


def _list(_: argparse.Namespace) -> int:
    for line in recipe_list():
        print(line)
    return 0


def _show(options: argparse.Namespace) -> int:
    from segwright.config import override, to_yaml
    from segwright.recipes import load_recipe

    recipe = load_recipe(options.name, code=options.code)
    override(recipe, options.set)
    print(to_yaml(recipe), end="")
    return 0
