from __future__ import annotations

from segwright.analysis.pages.page import DASH
from segwright.analysis.reports.oracle_section import section
from segwright.evaluation.oracle_study import COMBINATIONS


def study(stuff_area: int) -> dict[str, object]:
    scores = {"pq": 0.5, "sq": 0.75, "rq": 0.625, "ap": None, "miou": 1.0}
    rows = [
        {"oracle": list(parts), "stuff_area": stuff_area} | scores
        for parts in (*COMBINATIONS, COMBINATIONS[-1])
    ]
    rows[-1]["stuff_area"] = 0
    return {"split": "val", "rows": rows}


def test_the_section_has_one_row_per_case() -> None:
    page = section(study(2048))
    assert page.count("<tr>") == 1 + 17
    assert page.count("✓") == 1 + 32 + 4  # in the note, in sixteen rows, in the last
    assert "below 2" in page and "48 pixels" in page
    assert page.count("<b>50.0</b>") == 17
    assert DASH in page


def test_without_a_minimum_area_there_is_no_note_about_it() -> None:
    assert "drops stuff" not in section(study(0))


def test_without_a_study_there_is_no_section() -> None:
    assert section(None) == section({}) == ""
