"""Reference of the command line: a page per verb, from the parser of its options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docs.website import markup
from segwright.cli.main import build_parser

EXIT_CODES = """\
Every verb ends with one of three exit codes. 0: done. 1: the run failed, or some inputs were skipped. 2: wrong use or
wrong data; one line on stderr says what was found, where, what was expected, and what to do.
"""


@dataclass(frozen=True)
class VerbEntry:
    """One verb: its name, "segwright data check" for example, what it does, and its parser."""

    name: str
    text: str
    parser: argparse.ArgumentParser

    @property
    def page(self) -> str:
        """The name of its page."""
        return self.name.removeprefix("segwright ").replace(" ", "-")


def verbs(parser: argparse.ArgumentParser, text: str = "") -> Iterator[VerbEntry]:
    """All verbs below a parser, in the order in which the help lists them."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield VerbEntry(parser.prog, text, parser)
    for group in groups:
        texts = {choice.dest: choice.help or "" for choice in group._choices_actions}
        for name, below in group.choices.items():
            yield from verbs(below, texts.get(name, ""))


def write_verbs(folder: Path) -> None:
    """Write the page of every verb, and the page that lists them."""
    target = folder / "reference" / "commands"
    target.mkdir(parents=True)
    entries = list(verbs(build_parser()))
    for entry in entries:
        (target / f"{entry.page}.rst").write_text(verb_page(entry), encoding="utf-8")
    rows = [[f":doc:`{entry.name} <commands/{entry.page}>`", _sentence(entry.text)] for entry in entries]
    text = "\n".join(
        [
            markup.title("Command line"),
            "``segwright VERB --help`` prints the same in a terminal.",
            "",
            markup.list_table(["command", "what it does"], rows, "35 65"),
            EXIT_CODES,
            markup.toctree([f"commands/{entry.page}" for entry in entries], "hidden"),
        ]
    )
    (folder / "reference" / "commands.rst").write_text(text, encoding="utf-8")


def verb_page(entry: VerbEntry) -> str:
    """The page of a verb: usage, an example, arguments and options with their defaults."""
    example = (entry.parser.epilog or "").removeprefix("example: ")
    lines = [markup.title(entry.name), _sentence(entry.text), ""]
    if example:
        lines += [
            ".. code-block:: text",
            "   :caption: Example",
            "   :class: command",
            "",
            markup.indent(example),
            "",
        ]
    lines += [".. code-block:: text", "   :caption: Usage", "", markup.indent(_usage(entry.parser)), ""]
    lines += [f".. program:: {entry.name}", ""]
    actions = [action for action in entry.parser._actions if action.help != argparse.SUPPRESS]
    actions.sort(key=lambda action: action.dest in ("help", "debug"))  # what every verb has comes last
    for heading, positional in (("Arguments", True), ("Options", False)):
        chosen = [action for action in actions if (not action.option_strings) == positional]
        if chosen:
            lines += [markup.title(heading, "-"), *(_option(entry.parser, action) for action in chosen)]
    return "\n".join(lines)


def _usage(parser: argparse.ArgumentParser) -> str:
    formatter = argparse.HelpFormatter(parser.prog, width=74)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    return formatter.format_help()


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    values = (
        argparse.HelpFormatter(parser.prog)._format_args(action, _value_name(action))
        if action.nargs != 0
        else ""
    )
    names = action.option_strings or [values]
    signature = ", ".join(f"{name} {values}".strip() for name in names) if action.option_strings else values
    text, default = _help_and_default(parser, action)
    meaning = _sentence(text)
    if action.required and action.option_strings:
        meaning += " Required."
    if default:
        meaning += f" Default: {default}."
    return f".. option:: {signature}\n\n{markup.indent(meaning)}\n"


def _value_name(action: argparse.Action) -> str:
    if action.metavar is not None:
        return str(action.metavar)
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper() if action.option_strings else action.dest


def _help_and_default(parser: argparse.ArgumentParser, action: argparse.Action) -> tuple[str, str]:
    """What an option means, and its default value as reStructuredText; the text of the help may contain it, too."""
    text = argparse.HelpFormatter(parser.prog)._expand_help(action) if action.help else ""
    if match := re.search(r" ?\(default: (.*)\)", text):
        value = match[1]
        plain = markup.escape(value) if " " in value else f"``{value}``"
        return text[: match.start()] + text[match.end() :], plain
    has_value = (
        action.option_strings and action.nargs != 0 and action.default not in (None, [], argparse.SUPPRESS)
    )
    return text, f"``{action.default}``" if has_value else ""


def _sentence(text: str) -> str:
    """The text of a help as a sentence, with options as code."""
    text = re.sub(r"(?<![\w`-])--[a-z][a-z-]*", r"``\g<0>``", markup.escape(text.strip().rstrip(".")))
    begins_with_value = re.match(r"[\w-]+:", text)
    return (text if begins_with_value else text[:1].upper() + text[1:]) + "." if text else ""
