"""``segwright recipe list``: what to use for what, readable on a narrow terminal."""

from __future__ import annotations

import os
import re
import sys

import pytest

from segwright.cli import recipe_list
from segwright.cli.main import main
from segwright.recipes import recipe_names


def test_it_starts_with_recipes_for_own_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "list"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("START HERE: your own images")
    assert lines[0].split() == [
        "own.semantic",
        "semantic",
        "segmentation:",
        "a",
        "class",
        "for",
        "every",
        "pixel",
    ]


def test_every_recipe_has_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    main(["recipe", "list"])
    names = re.findall(r"^  (\w+\.\w+) ?", capsys.readouterr().out, re.MULTILINE)
    assert sorted(names) == recipe_names()


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_no_line_is_wider_than_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(recipe_list.shutil, "get_terminal_size", lambda: os.terminal_size((columns, 24)))
    lines = list(recipe_list.recipe_list())
    longest_name = max(map(len, recipe_names()))
    assert max(map(len, lines)) <= max(columns, 4 + longest_name + 24)
    assert sorted(re.findall(r"^  (\w+\.\w+)(?: |$)", "\n".join(lines), re.MULTILINE)) == recipe_names()


def test_a_summary_ends_with_a_clause() -> None:
    text = "Semantic segmentation in ten minutes on two CPU cores, trained from scratch"
    assert recipe_list._leading_clauses(text, 60) == "Semantic segmentation in ten minutes on two CPU cores"
    assert recipe_list._leading_clauses(text, 200) == text
    assert recipe_list._leading_clauses(text, 10) == text
