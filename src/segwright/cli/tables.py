"""Tables of numbers on the console."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segwright.wording import count_of

if TYPE_CHECKING:
    from rich.text import Text

_UNLIMITED = 10_000  # columns, in a file or a pipe
Cell = str | float | None
"""A text, or a fraction 0..1 that is printed in percent; None and NaN are printed as "-"."""


def print_table(
    columns: Sequence[str], *sections: Iterable[Sequence[Cell]], title: str, footer: Iterable[str] = ()
) -> None:
    """Print a table and the lines below it. Its ``sections`` of rows are separated by a line.

    On a terminal, percentages are red below 30, yellow below 60 and green from there on.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # As Text: names with brackets are not markup.
    table = Table(title=Text(title), title_justify="left")
    for column in columns:
        table.add_column(Text(column), overflow="fold")  # names are never cut
    for rows in sections:
        table.add_section()
        for row in rows:
            table.add_row(*map(_text, row))
    console = Console() if sys.stdout.isatty() else Console(width=_UNLIMITED)
    console.print(table)
    for line in footer:
        console.print(Text(line), soft_wrap=True)


def print_scores(values: Mapping[str, Any]) -> None:
    """Print the scores of an evaluation (the content of its JSON file): a row per class, then the totals.

    The columns are IoU and, with panoptic scores, PQ, SQ and RQ, and AP for things, by the rules of COCO and, if the
    dataset has rules of its own, by these.
    """
    from segwright.evaluation.result import format_scores, headline_scores

    panoptic, precision = values.get("panoptic"), values.get("average_precision")
    cityscapes = values.get("cityscapes_average_precision")
    columns = ["class", "IoU %"]
    columns += ["PQ %", "SQ %", "RQ %"] if panoptic else []
    if precision:
        columns += ["COCO AP %", "COCO AP50 %", "Cityscapes AP %"] if cityscapes else ["AP %", "AP50 %"]
    rows = []
    for name, iou in values["class_iou"].items():
        row = [name, iou]
        if panoptic:
            row += [panoptic["class"][name][key] for key in ("pq", "sq", "rq")]
        if precision:
            row += [precision["class"].get(name, {}).get(key) for key in ("ap", "ap50")]
        if precision and cityscapes:
            row.append(cityscapes["class"].get(name, {}).get("ap"))
        rows.append(row)
    footer = [format_scores(headline_scores(values)), *undefined_scores(values)]
    if panoptic:
        groups = ((name, panoptic[name]) for name in ("all", "things", "stuff"))
        totals = (
            f"PQ {name} {percent(group['pq'], '%')} of {count_of(group['n'], 'class')}"
            for name, group in groups
        )
        footer.insert(0, "   ".join(totals))
    print_table(columns, rows, title=count_of(values["images"], "image"), footer=footer)


def print_oracles(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print an oracle study: which outputs were replaced with ground truth, and the scores."""
    from segwright.evaluation.oracle_study import SCORES, replaced_parts

    parts = replaced_parts(rows)
    legend = ", ".join(f"{part[0].upper()} {part}" for part in parts)
    columns = [*(part[0].upper() for part in parts), "stuff from", "PQ %", "SQ %", "RQ %", "AP %", "mIoU %"]
    cells = [
        [
            *("x" if part in row["oracle"] else "" for part in parts),
            f"{row['stuff_area']} px",
            *(row[name] for name in SCORES),
        ]
        for row in rows
    ]
    footer = ["Smaller stuff segments are dropped; the last row keeps them."]
    print_table(
        columns,
        cells,
        title=f"Outputs replaced with ground truth: {legend}",
        footer=footer if rows[0]["stuff_area"] else (),
    )


def undefined_scores(values: Mapping[str, Any]) -> list[str]:
    """A line with the scores of further metrics that are undefined, if there are any."""
    names = [name for name in values.get("metrics", ()) if name in values]
    undefined = [name for name in names if values[name] is None or values[name] != values[name]]
    return [f"undefined for these data and labels: {', '.join(undefined)}"] if undefined else []


def percent(value: float | None, unit: str = "") -> str:
    """A fraction as text, in percent with two decimals; "-" for None and NaN."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.2f}{unit}"


def _text(cell: Cell) -> Text:
    from rich.text import Text

    if isinstance(cell, str):
        return Text(cell)
    if cell is None or math.isnan(cell):
        return Text(percent(cell))
    return Text(percent(cell), style="red" if cell < 0.3 else "yellow" if cell < 0.6 else "green")
