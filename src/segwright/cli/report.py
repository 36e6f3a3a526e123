"""The verb ``segwright report``: one page about a run, or about the differences between two."""

from __future__ import annotations

import argparse
from pathlib import Path

from segwright.cli.options import (
    Verbs,
    add_code,
    add_data_root,
    add_device,
    add_verb,
    check_data_root,
    refuse_options,
)
from segwright.cli.progress import progress_bars
from segwright.errors import UserError
from segwright.model_paths import check_evaluated


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    text = (
        "write one HTML file (offline) about a run and its errors, or about the differences between two runs"
    )
    report = add_verb(verbs, "report", _report, text, "segwright report runs/camvid")
    report.add_argument("run", type=Path, help="run folder")
    text = "second run folder: compare both runs, evaluated on the same images"
    report.add_argument("other", type=Path, nargs="?", metavar="RUN_B", help=text)
    text = "file to write (default: report.html in the run folder; comparison-with-RUN.html in the second run folder)"
    report.add_argument("--out", type=Path, metavar="FILE.html", help=text)
    text = "without the analysis of errors, which runs the model on the validation images once"
    report.add_argument("--no-errors", action="store_true", help=text)
    add_data_root(report, "the run's")
    add_code(report)
    add_device(report)


def _report(options: argparse.Namespace) -> int:
    if options.out is not None and options.out.suffix not in (".html", ".htm"):
        raise UserError(f"--out {options.out}: expected a name that ends in .html")
    if options.other is not None:
        refuse_options(options, "no_errors", reason="with two runs, whose errors are compared")
    for run in (options.run, options.other):
        if run is not None:
            check_evaluated(run)
    check_data_root(options)
    # What is above refuses wrong options and paths before torch is imported.
    from segwright.analysis.comparisons.comparison import compare
    from segwright.analysis.reports.run_report import report
    from segwright.training.processes import choose_device

    settings = {"out": options.out, "data": options.data, "code": options.code,
                "device": choose_device(options.device)}  # fmt: skip
    with progress_bars() as progress:
        if options.other is None:
            path = report(options.run, count_errors=not options.no_errors, progress=progress, **settings)
        else:
            path = compare(options.run, options.other, progress=progress, **settings)
    print(f"report: {path}" if options.other is None else f"comparison: {path}")
    return 0
