"""The part of a report that shows an oracle study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segwright.analysis import page
from segwright.evaluation.oracle import PARTS


@dataclass(frozen=True, slots=True)
class OracleRow:
    """Which of ``PARTS`` were true, the least stuff area in pixels, and fractions, NaN where there is nothing."""

    true: tuple[bool, ...]
    stuff_area: int
    pq: float
    sq: float
    rq: float
    ap: float
    miou: float


def section(study: Mapping[str, Any] | None) -> Any:
    """The section, of what ``evaluate --oracle-table`` left in the run folder; nothing without it."""
    if not study:
        return ""
    rows = [
        OracleRow(
            tuple(part in row["oracle"] for part in PARTS),
            row["stuff_area"],
            *(page.number_of(row[name]) for name in ("pq", "sq", "rq", "ap", "miou")),
        )
        for row in study["rows"]
    ]
    return page.markup(page.render("oracles.html", parts=PARTS, rows=rows, split=study["split"]))
