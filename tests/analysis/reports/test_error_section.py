"""The sections of errors: their tables are made of the counts, their figures leave out what is unknown."""

from __future__ import annotations

import numpy as np
import pytest

from segwright.analysis.errors.boundaries import BoundaryErrors
from segwright.analysis.errors.objects import CAUSES
from segwright.analysis.reports import error_figures, error_section
from segwright.labels import LabelSpace

LABELS = LabelSpace.of("road", "car", "sky")


def test_boundary_rows_are_ratios_of_counts() -> None:
    zones = np.array([[[100, 20], [300, 30]], [[10, 0], [0, 0]], [[0, 0], [0, 0]]])
    road, car = error_section.boundary_rows(zones, LABELS)
    assert (road.name, road.boundary, road.interior, road.share) == ("road", 0.2, 0.1, 0.4)
    assert car.boundary == 0
    assert np.isnan([car.interior, car.share]).all()


def test_size_rows_are_ratios_of_counts_and_empty_bins_are_left_out() -> None:
    totals = np.zeros((9, 5))
    totals[1] = (4, 1, 1.2, 60, 100)
    (row,) = error_section.size_rows(totals)
    assert (row.area, row.segments, row.iou, row.found, row.recall) == ("17\N{EN DASH}64", 4, 0.3, 0.25, 0.6)


def test_every_cause_has_a_row_and_a_meaning() -> None:
    causes = np.arange(3 * len(CAUSES) * 2).reshape(3, len(CAUSES), 2)
    rows = error_section.cause_rows(causes, [])
    assert [row.cause for row in rows] == list(CAUSES) == list(error_section.MEANINGS)
    assert sum(row.missed for row in rows) == causes[..., 0].sum()
    assert sum(row.spurious for row in rows) == causes[..., 1].sum()


@pytest.mark.parametrize(
    ("bounds", "first", "names"),
    [((0, 1, 2, 4), 0, ["0", "1", "2", "3-4", "> 4"]), ((16, 64), 1, ["1-16", "17-64", "> 64"])],
)
def test_ranges_have_names(bounds: tuple[int, ...], first: int, names: list[str]) -> None:
    expected = [name.replace("-", "\N{EN DASH}") for name in names]
    assert error_figures.range_names(bounds, first=first) == expected


def test_confidence_is_drawn_if_it_was_measured() -> None:
    calibration = {"bins": [0.5, 1.0], "confidence": [0.4, 0.9], "accuracy": [None, 0.8], "counts": [0, 100]}
    curves = {"recall": [0, 0.5, 1], "class": {"car": {"0.50": [1, 0.5, 0], "0.55": [0.5, 0.1, 0]}}}
    figures = error_section.confidence_figures(
        {
            "calibration": calibration,
            "calibration_error": 0.1,
            "average_precision": {"precision_recall": curves},
        }
    )
    assert len(figures) == 3
    assert "expected calibration error 10.0 %" in figures[0]
    assert "IoU 0.50 to 0.55" in figures[1]
    assert "car" in figures[2]
    assert error_section.confidence_figures({}) == []
    assert error_section.confidence_figures({"average_precision": None}) == []


def test_nothing_is_drawn_of_no_pixels() -> None:
    assert error_figures.error_by_distance(BoundaryErrors(3).distances) == ""
    assert error_figures.scores_by_size(np.zeros((9, 5))) == ""
    assert error_figures.causes_by_class(np.zeros((3, 6, 2), np.int64), LABELS.names) == ""
    assert error_section.section(None, []) == ""
