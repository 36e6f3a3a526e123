"""Wrong arguments of any verb end in one line that names the verb, with exit code 2, before anything is done."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from segwright.cli.main import build_parser, main


def leaves(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object]]:
    """(words, parser) of each verb."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield words, parser
    for group in groups:
        for name, verb in group.choices.items():
            yield from leaves(verb, (*words, name))


VERBS = dict(leaves(build_parser()))


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The line of the error."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_an_unknown_option_is_refused_by_its_verb(
    verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    name = " ".join(("segwright", *verb))
    assert refused([*verb, "--nonsense", "3"], capsys).startswith(f"{name}: unknown option --nonsense")


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_misspelled_option_brings_the_right_one(
    verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    name = " ".join(("segwright", *verb))
    parser = VERBS[verb]
    assert isinstance(parser, argparse.ArgumentParser)
    options = [option for action in parser._actions for option in action.option_strings if len(option) > 4]
    for option in options:
        wrong = option[:3] + option[4:]
        if not any(other.startswith(wrong) for other in options):
            line = refused([*verb, wrong, "x"], capsys)
            assert line.startswith(f"{name}: unknown option {wrong}; did you mean --"), line
            assert line.endswith(f"; see {name} --help")


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_missing_arguments_are_named_once_with_an_example(
    verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    parser = VERBS[verb]
    assert isinstance(parser, argparse.ArgumentParser)
    required = [action.option_strings[-1:] or [action.metavar or action.dest] for action in parser._actions
                if action.required]  # fmt: skip
    if not required:
        pytest.skip("nothing is required")
    name = " ".join(("segwright", *verb))
    names = ", ".join(str(words[0]) for words in required)
    line = refused([*verb], capsys)
    assert line.startswith(f"{name}: the following arguments are required: {names}; example: {name} "), line
    assert len({*names.split(", ")}) == len(required)


def test_an_option_may_be_shortened_and_values_may_begin_with_a_dash(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["recipe", "show", "camvid.quick", "--se", "training.seed=-5"]) == 0
    assert "seed: -5" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        "bench a --batch 0",
        "serve a --batch -1",
        "evaluate a --max-detections 1.5",
        "predict a b --out c --ray-actors 0",
        "data show a --count many",
        "data check a --workers -1",
        "train a --stopped-code 256",
        "predict a b --out c --score 1.01",
        "export a --out b --min-equal-pixels nan",
    ],
)
def test_a_number_out_of_its_range_is_refused_with_the_range(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    *_, option, value = words.split()
    assert f"argument {option}: {value!r}; expected a " in refused(words.split(), capsys)
