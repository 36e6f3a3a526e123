"""Scores as tables on the console."""

from __future__ import annotations

from typing import Any


def print_scores(values: dict[str, Any]) -> None:
    """A table by class, colored from red to green, and the totals: of what an evaluation or a summary holds.

    IoU of each class; with panoptic scores PQ, SQ, RQ and, for things, AP as well.
    """
    from rich.console import Console
    from rich.table import Table

    from segwright.evaluation.evaluate import described

    panoptic, precision = values.get("panoptic"), values.get("average_precision")
    table = Table("class", "IoU %", title=f"{values['images']} images", title_justify="left")
    for column in (
        *(("PQ %", "SQ %", "RQ %") if panoptic else ()),
        *(("AP %", "AP50 %") if precision else ()),
    ):
        table.add_column(column)
    for name, iou in values["class_iou"].items():
        cells = [iou]
        if panoptic:
            cells += [panoptic["class"][name][key] for key in ("pq", "sq", "rq")]
        if precision:
            cells += [precision["class"].get(name, {}).get(key) for key in ("ap", "ap50")]
        table.add_row(name, *(_cell(value) for value in cells))
    console = Console()
    console.print(table)
    if panoptic:
        parts = ((part, panoptic[part]) for part in ("all", "things", "stuff"))
        console.print(
            "   ".join(f"PQ {part} {_percent(found['pq'])} of {found['n']}" for part, found in parts)
        )
    console.print(described(values), highlight=False)


def print_oracles(rows: list[dict[str, Any]]) -> None:
    """A table of an oracle study: which parts were true, and the scores."""
    from rich.console import Console
    from rich.table import Table

    from segwright.evaluation.oracle import PARTS
    from segwright.evaluation.oracle_study import SCORES

    title = f"With the truth of: {', '.join(part[0].upper() + ' ' + part for part in PARTS)}"
    table = Table(*(part[0].upper() for part in PARTS), "stuff from", title=title, title_justify="left")
    for title in ("PQ %", "SQ %", "RQ %", "AP %", "mIoU %"):
        table.add_column(title)
    for row in rows:
        marks = ["x" if part in row["oracle"] else "" for part in PARTS]
        table.add_row(*marks, f"{row['stuff_area']} px", *(_cell(row[name]) for name in SCORES))
    console = Console()
    console.print(table)
    if rows[0]["stuff_area"]:
        text = "Stuff of fewer pixels is dropped, whoever found it; the last row keeps it."
        console.print(text, highlight=False)


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    shade = "red" if value < 0.3 else "yellow" if value < 0.6 else "green"
    return f"[{shade}]{value * 100:.2f}[/]"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"
