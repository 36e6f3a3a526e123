"""Help texts: complete, and in standard words."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

import pytest

from segwright.cli.main import build_parser

WITH_CODE = {
    "train", "evaluate", "predict", "report", "recipe show", "data check", "data stats", "data show", "info", "bench",
    "export",
    "score semantic", "serve",
}  # fmt: skip
PRIVATE_WORDS = (
    r"\b(ancestors?|quirks?|looked at|looks at|told|wishes|the truth|data sets?|an image and|whole)\b"
)


def verbs(parser: argparse.ArgumentParser, prefix: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each verb that runs something, with its parser."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield prefix, parser
    for group in groups:
        for name, child in group.choices.items():
            yield from verbs(child, f"{prefix} {name}".strip())


VERBS = dict(verbs(build_parser()))


def test_the_verbs() -> None:
    assert set(VERBS) >= WITH_CODE | {"demo", "convert", "score semantic", "score panoptic", "score instance"}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_has_a_help_text(verb: str) -> None:
    assert VERBS[verb].description
    assert f"example: segwright {verb}" in (VERBS[verb].epilog or "")
    for action in VERBS[verb]._actions:
        assert action.help, action.option_strings


@pytest.mark.parametrize("verb", VERBS)
def test_code_is_an_option_of_verbs_that_build_classes(verb: str) -> None:
    assert ("--code" in VERBS[verb].format_usage()) == (verb in WITH_CODE)


@pytest.mark.parametrize("verb", VERBS)
def test_defaults_are_named_as_such(verb: str) -> None:
    for action in VERBS[verb]._actions:
        text = action.help or ""
        if action.option_strings and action.default not in (None, False, []) and action.dest != "help":
            assert "default:" in text, (verb, action.dest)
        assert not re.search(r"\((%\(default\)s|the [\w']+)\)", text), (verb, action.dest)


@pytest.mark.parametrize("verb", VERBS)
def test_help_texts_use_standard_words(verb: str) -> None:
    assert not re.findall(PRIVATE_WORDS, VERBS[verb].format_help())
