"""Options that several verbs share: how they are declared, and what they stand for.

``add_*`` declares options on the parser of a verb. The other functions turn parsed options into objects.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from segwright.errors import UserError, one_line
from segwright.files import missing_folder

if TYPE_CHECKING:
    from segwright.evaluation.result import EvaluationResult
    from segwright.labels import LabelSpace
    from segwright.metrics.metric import Metric

Verb = Callable[[argparse.Namespace], int]
"""Runs a verb with its parsed options and returns the exit code."""
OptionGroup = argparse._ActionsContainer
"""A parser, or a titled group of options in its help."""
if TYPE_CHECKING:
    Verbs: TypeAlias = argparse._SubParsersAction["Parser"]
else:
    Verbs = argparse._SubParsersAction
"""What ``add_verb`` adds a verb to: the verbs of segwright, or of a group such as ``segwright data``."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line: what is wrong, what was probably meant, an example."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, as argparse does, but check first for unknown options of a verb: their error names that verb."""
        given = [*(sys.argv[1:] if args is None else args)]
        if not any(isinstance(action, argparse._SubParsersAction) for action in self._actions):
            self._refuse_unknown([text.partition("=")[0] for text in given[: (*given, "--").index("--")]])
        known, rest = super().parse_known_args(given, namespace)
        if rest:
            self.error(f"unexpected arguments: {' '.join(rest)}; expected no more{self._example()}")
        return known, rest

    def error(self, message: str) -> NoReturn:
        """Say on stderr what is wrong and end with exit code 2."""
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if choice:
            message += _did_you_mean(choice[1], re.findall(r"[\w.-]+", choice[2]))
        if "arguments are required" in message:
            message += self._example()
        self.exit(2, f"{self.prog}: {one_line(message)}; see {self.prog} --help\n")

    def _refuse_unknown(self, given: list[str]) -> None:
        known = [name for action in self._actions for name in action.option_strings]
        for text in given:
            if text.startswith("--") and not any(name.startswith(text) for name in known):
                self.error(f"unknown option {text}{_did_you_mean(text, known)}")

    def _example(self) -> str:
        return f"; {self.epilog}" if self.epilog else ""


def _did_you_mean(text: str, known: list[str]) -> str:
    import difflib  # the parser starts without it

    near = difflib.get_close_matches(text, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def add_verb(verbs: Verbs, name: str, run: Verb, text: str, example: str) -> argparse.ArgumentParser:
    """The parser of a new verb; ``text`` is its help and ``example`` the command at the end of it."""
    parser = verbs.add_parser(name, help=text, description=text, epilog=f"example: {example}")
    parser.set_defaults(verb=run)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def add_verb_group(verbs: Verbs, name: str, text: str) -> Verbs:
    """A verb that consists of verbs, such as ``segwright data``; ``add_verb`` fills it."""
    parser = verbs.add_parser(name, help=text, description=text)
    return parser.add_subparsers(title="verbs", required=True, metavar="VERB")


def add_code(parser: argparse.ArgumentParser) -> None:
    """``--code``, for verbs that build objects from a recipe or a model file."""
    text = "Python file that defines your own classes, if the recipe or the model file uses any"
    parser.add_argument("--code", type=Path, metavar="FILE.py", help=text)


def add_set(parser: argparse.ArgumentParser, what: str = "recipe") -> None:
    """``--set``, which changes fields of what the verb works on."""
    example = "optim.lr=3e-4 training.steps=4000" if what == "recipe" else "maps=masks"
    text = f"set fields of the {what}, for example {example}"
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="a.b=c", help=text)


def add_data_root(parser: OptionGroup, default: str | None = None) -> None:
    """``--data``, the folder of the dataset; ``default`` says which folder is used without it."""
    text = "dataset root folder" + (f" (default: {default})" if default else "")
    parser.add_argument("--data", type=Path, metavar="ROOT", help=text)


def check_data_root(options: argparse.Namespace) -> None:
    """``UserError`` for a folder of ``--data`` that does not exist, before torch is imported and a recipe is built."""
    if options.data is not None and not options.data.exists():
        raise missing_folder(options.data, "expected the folder of the dataset; check --data")


def add_format(parser: argparse.ArgumentParser, name: str = "format") -> None:
    """``--from``, the format of a folder of annotations; it becomes the attribute ``name`` of the options."""
    text = "format of the folder, if it is not recognized (docs/formats.md)"
    parser.add_argument("--from", dest=name, metavar="FORMAT", help=text)


def add_labels(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """``--labels``, required unless ``default`` says what its absence means."""
    text = "classes and their values: the name of a dataset, or a class file (classes.yaml)" + (
        f" (default: {default})" if default else ""
    )
    parser.add_argument("--labels", required=default is None, metavar="NAME|FILE.yaml", help=text)


def add_json(parser: argparse.ArgumentParser, what: str = "all scores") -> None:
    """``--json``, a file for the numbers that the verb prints."""
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"write {what} to this file")


def add_metrics(parser: argparse.ArgumentParser) -> None:
    """``--metrics``, scores beyond those that the verb always computes."""
    text = "further metrics, with their settings: 'BoundaryIoU, TrimapIoU(widths=(3, 10)), Calibration'"
    parser.add_argument("--metrics", metavar="NAME,NAME", help=text)


def metrics_from_options(options: argparse.Namespace) -> tuple[Metric, ...]:
    """The metrics of ``--metrics``; those of a user's own are defined in the file of ``--code``."""
    if options.metrics is None:
        return ()
    from segwright.config import load_code
    from segwright.metrics.by_name import metrics_from_text

    return metrics_from_text(options.metrics, None if options.code is None else load_code(options.code))


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``."""
    parser.add_argument("--device", help="cpu, cuda or cuda:N (default: a GPU if there is one)")


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of an option H,W."""
    sides = [int(side) if side.strip().isdecimal() else 0 for side in text.split(",")]
    if len(sides) != 2 or min(sides) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected height and width, for example 512,1024")
    return sides[0], sides[1]


def parse_count(text: str, least: int = 1, most: int | None = None) -> int:
    """The whole number of an option, ``least`` to ``most``."""
    number = int(text) if text.isdecimal() else -1
    if number < least or (most is not None and number > most):
        limit = "" if most is None else f" to {most}"
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number from {least}{limit}")
    return number


def parse_fraction(text: str) -> float:
    """The number of an option, 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number from 0 to 1")
    return number


def labels_from_option(text: str) -> LabelSpace:
    """The label space of ``--labels``: that of a dataset, by name, or one from a file.

    The file is a label map FILE.yaml, or the config of Mapillary Vistas, FILE.json.
    """
    from segwright.data.datasets import dataset_labels
    from segwright.data.datasets.mapillary import mapillary_labels, read_config
    from segwright.data.formats.file_dataset import apply_label_map

    if text.endswith(".json"):
        return mapillary_labels(Path(text).stem, read_config(Path(text)))
    if text.endswith((".yaml", ".yml")):
        return apply_label_map(Path(text), None)
    if Path(text).exists():
        raise UserError(
            f"--labels {text}: is no class file; expected FILE.yaml, FILE.json or the name of a dataset"
        )
    return dataset_labels(text)


def add_stopped_code(parser: OptionGroup) -> None:
    """``--stopped-code``, for work that a signal may stop before its end."""
    text = (
        "exit code after a signal (Ctrl-C, SIGTERM, ...) that stopped the work, which is saved (default: 0)"
    )
    exit_code = partial(parse_count, least=0, most=255)
    parser.add_argument("--stopped-code", type=exit_code, default=0, metavar="N", help=text)


def refuse_options(options: argparse.Namespace, *names: str, reason: str) -> None:
    """``UserError`` if one of these options was given: it would have no effect, for this ``reason``."""
    for name in names:
        value = getattr(options, name)
        if value is not None and value is not False:  # 0 is a value
            raise UserError(f"--{name.replace('_', '-')} has no effect {reason}; remove it")


def require_ground_truth(evaluation: EvaluationResult, split: str) -> None:
    """``UserError`` for the evaluation of a split without any pixel of ground truth."""
    if not evaluation.confusion.any():
        raise UserError(
            f"split {split!r}: no ground truth to evaluate on; 'segwright predict' writes predictions"
        )


def warn_of_single_class(labels: LabelSpace) -> None:
    """Say on stderr that class maps of a single class have only trivial scores."""
    from segwright.data.check import single_class_warning

    if line := single_class_warning(labels):
        print(f"warning: {line}", file=sys.stderr)
