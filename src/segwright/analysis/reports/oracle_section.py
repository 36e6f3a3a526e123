"""The section of a report about an oracle study: scores with outputs replaced by the ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segwright.analysis.pages import page
from segwright.evaluation.oracle_study import replaced_parts


@dataclass(frozen=True, slots=True)
class OracleRow:
    """Which parts were replaced, the minimum stuff area in pixels, and scores 0..1, NaN where undefined."""

    replaced: tuple[bool, ...]
    stuff_area: int
    pq: float
    sq: float
    rq: float
    ap: float
    miou: float


def section(study: Mapping[str, Any] | None) -> str:
    """The section as HTML, from the file that ``evaluate --oracle-table`` writes; empty without it."""
    if not study:
        return ""
    parts = replaced_parts(study["rows"])
    rows = [
        OracleRow(
            tuple(part in row["oracle"] for part in parts),
            row["stuff_area"],
            *(page.number_of(row[name]) for name in ("pq", "sq", "rq", "ap", "miou")),
        )
        for row in study["rows"]
    ]
    return page.section("oracle_section.html", parts=parts, rows=rows, split=study["split"])
