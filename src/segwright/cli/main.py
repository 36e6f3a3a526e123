"""The command line: one verb, one function. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from segwright.cli import (
    average,
    bench,
    convert,
    data,
    doctor,
    evaluate,
    export,
    info,
    models,
    predict,
    recipe,
    report,
    score,
    serve,
    train,
)
from segwright.cli.options import (
    Parser,
    Verb,
    Verbs,
    add_device,
    add_verb,
    add_verb_group,
)
from segwright.errors import RunError, UserError, explained, one_line
from segwright.version import VERSION


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code.

    0: done. 1: the run failed, or some inputs were skipped. 2: wrong use or wrong data.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # file names need not be text that the console can show
            stream.reconfigure(errors="backslashreplace")
    options = build_parser().parse_args(arguments)
    verb: Verb = options.verb
    if options.debug:
        return verb(options)
    try:
        return verb(options)
    except KeyboardInterrupt:
        print("segwright: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, "head" for example, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as raised:
        error = explained(raised)
        code = _exit_code(error)
        if code is None:
            raise
        print(f"segwright: {one_line(str(error.args[0]))}", file=sys.stderr)
        return code


def _exit_code(error: Exception) -> int | None:
    """The exit code of an error that explains itself; None for one that needs a traceback."""
    if isinstance(error, UserError | OSError):
        return 2
    return 1 if isinstance(error, RunError) else None


def _demo(options: argparse.Namespace) -> int:
    from segwright.demo import demo

    demo(options.out, device=options.device)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of all verbs and options."""
    text = (
        "Semantic, instance and panoptic segmentation: check data, train, evaluate, predict, export, serve. "
        "'segwright VERB --help' explains a verb and shows an example."
    )
    parser = Parser("segwright", description=text)
    parser.add_argument("--version", action="version", version=f"segwright {VERSION}")
    # In the order in which they are needed.
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    _add_demo(verbs)
    doctor.add(verbs)
    data.add_verbs(add_verb_group(verbs, "data", "check, count, draw, download, split and convert datasets"))
    recipe.add_verbs(
        add_verb_group(verbs, "recipe", "list, show and suggest recipes (complete training runs)")
    )
    models.add(verbs)
    train.add(verbs)
    evaluate.add(verbs)
    report.add(verbs)
    predict.add(verbs)
    serve.add(verbs)
    export.add(verbs)
    text = "score prediction files of any program, as the official tools do"
    score.add_verbs(add_verb_group(verbs, "score", text))
    info.add(verbs)
    bench.add(verbs)
    average.add(verbs)
    convert.add(verbs)
    return parser


def _add_demo(verbs: Verbs) -> None:
    text = "train, evaluate and predict on generated street scenes: two minutes, nothing to download"
    demo = add_verb(verbs, "demo", _demo, text, "segwright demo")
    demo.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="output folder (default: %(default)s)"
    )
    add_device(demo)


if __name__ == "__main__":
    sys.exit(main())
