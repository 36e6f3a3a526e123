"""The sections of a report about errors: boundaries, sizes of segments, and causes of unmatched segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.analysis.errors import segment_sizes
from segwright.analysis.errors.boundaries import BOUNDARY, INTERIOR
from segwright.analysis.errors.objects import CAUSES
from segwright.analysis.errors.split_errors import SplitErrors, ratios
from segwright.analysis.pages import page
from segwright.analysis.reports import error_figures
from segwright.analysis.reports.confusions import ratio
from segwright.analysis.reports.error_examples import ExampleView
from segwright.labels import LabelSpace


@dataclass(frozen=True, slots=True)
class BoundaryRow:
    """Errors of a class, or of all: fractions 0..1 of the pixels near a boundary and elsewhere that are wrong.

    ``share``: the fraction of the wrong pixels that lies near a boundary.
    """

    name: str
    color: str | None
    boundary: float
    interior: float
    share: float


@dataclass(frozen=True, slots=True)
class SizeRow:
    """The segments of a range of areas: their number, and fractions 0..1."""

    area: str
    order: int
    segments: int
    iou: float
    found: float
    recall: float


@dataclass(frozen=True, slots=True)
class CauseRow:
    """A cause of errors: false negatives, false positives, their meaning, and examples."""

    cause: str
    missed: int
    spurious: int
    meaning: str
    examples: Sequence[ExampleView]


MEANINGS = {
    "wrong class": "the mask fits (IoU above 50 %), the class does not",
    "merged": "one prediction covers most of several true objects of its class",
    "split": "several predictions of the class lie in one true object and cover most of it",
    "inaccurate": "the class is right, the IoU is between 10 % and 50 %",
    "missed": "no prediction of this class overlaps with an IoU of 10 % or more",
    "spurious": "no true segment of this class overlaps with an IoU of 10 % or more",
}


def section(errors: SplitErrors | None, examples: Sequence[ExampleView]) -> str:
    """The section as HTML; empty without error counts."""
    if errors is None or not errors.images:
        return ""
    sizes = errors.sizes.counts.sum(0)
    figures = (
        error_figures.error_by_distance(errors.boundaries.distances),
        error_figures.scores_by_size(sizes),
    )
    return page.section(
        "error_section.html",
        figures=[svg for svg in figures if svg],
        boundary_rows=boundary_rows(errors.boundaries.zones, errors.labels),
        boundary_total=_boundary_row("all", None, errors.boundaries.zones.sum(0)),
        sizes=size_rows(sizes),
        has_segments=errors.has_segments,
        cause_figure=error_figures.causes_by_class(errors.causes, errors.labels.names),
        causes=cause_rows(errors.causes, examples) if errors.has_segments else [],
    )


def boundary_rows(zones: NDArray[np.int64], labels: LabelSpace) -> list[BoundaryRow]:
    """One row per class that occurs in the ground truth (``BoundaryErrors.zones``)."""
    return [
        _boundary_row(name, page.hex_of(labels.colors[index]), zones[index])
        for index, name in enumerate(labels.names)
        if zones[index].any()
    ]


def size_rows(totals: NDArray[np.float64]) -> list[SizeRow]:
    """One row per range of areas with segments; ``totals`` [bins, 5] are summed over classes (``SegmentSizes``)."""
    names = error_figures.range_names(segment_sizes.AREAS, first=1)
    return [
        SizeRow(
            names[index],
            index,
            int(row[segment_sizes.SEGMENTS]),
            ratio(row[segment_sizes.IOU], row[segment_sizes.SEGMENTS]),
            ratio(row[segment_sizes.FOUND], row[segment_sizes.SEGMENTS]),
            ratio(row[segment_sizes.CORRECT], row[segment_sizes.PIXELS]),
        )
        for index, row in enumerate(totals)
        if row[segment_sizes.SEGMENTS]
    ]


def cause_rows(causes: NDArray[np.int64], examples: Sequence[ExampleView]) -> list[CauseRow]:
    """One row per cause of errors (``SplitErrors.causes``), with its examples."""
    totals = causes.sum(0)
    return [
        CauseRow(
            cause,
            int(totals[index, 0]),
            int(totals[index, 1]),
            MEANINGS[cause],
            [view for view in examples if view.cause == cause],
        )
        for index, cause in enumerate(CAUSES)
    ]


def confidence_figures(evaluation: Mapping[str, Any]) -> list[str]:
    """The reliability diagram and the precision-recall curves as SVG, as far as the evaluation has them.

    ``evaluation["calibration"]``: ``confidence``, ``accuracy`` and ``counts`` of each bin of the confidence 0..1
    (``metrics.Calibration``). ``precision_recall``, on its own or in ``average_precision``: ``recall``, and ``class``,
    {name: {IoU threshold: precision}}.
    """
    figures = [_reliability(evaluation)]
    values = evaluation.get("precision_recall") or (evaluation.get("average_precision") or {}).get(
        "precision_recall"
    )
    if values and values.get("class"):
        recall = _floats(values["recall"])
        classes = {
            name: {threshold: _floats(curve) for threshold, curve in curves.items()}
            for name, curves in values["class"].items()
        }
        figures += [
            error_figures.precision_recall(
                recall, _mean_curves(classes), "precision and recall, mean of classes"
            ),
            error_figures.precision_recall(
                recall,
                [(name, curves["0.50"]) for name, curves in classes.items() if "0.50" in curves],
                "precision and recall at IoU 0.50, per class",
            ),
        ]
    return [svg for svg in figures if svg]


def _reliability(evaluation: Mapping[str, Any]) -> str:
    values = evaluation.get("calibration")
    if not isinstance(values, Mapping):
        return ""
    confidence, accuracy, counts = (_floats(values[name]) for name in ("confidence", "accuracy", "counts"))
    error = page.number_of(evaluation.get("calibration_error"))
    return error_figures.reliability(confidence, accuracy, np.nan_to_num(counts), error)


def _mean_curves(
    classes: Mapping[str, Mapping[str, NDArray[np.float64]]],
) -> list[tuple[str, NDArray[np.float64]]]:
    """Precision averaged over classes: at IoU 0.50, at 0.75, and averaged over all thresholds (the area is AP)."""
    thresholds = list(dict.fromkeys(threshold for curves in classes.values() for threshold in curves))
    at = {t: np.mean([curves[t] for curves in classes.values() if t in curves], axis=0) for t in thresholds}
    chosen = [(f"IoU {threshold}", at[threshold]) for threshold in ("0.50", "0.75") if threshold in at]
    if not len(thresholds) > 1:
        return chosen
    return [*chosen, (f"IoU {thresholds[0]} to {thresholds[-1]}", np.mean(list(at.values()), axis=0))]


def _boundary_row(name: str, color: str | None, zones: NDArray[np.int64]) -> BoundaryRow:
    rates = ratios(zones[:, 1], zones[:, 0])
    share = ratio(zones[BOUNDARY, 1], zones[:, 1].sum())
    return BoundaryRow(name, color, float(rates[BOUNDARY]), float(rates[INTERIOR]), share)


def _floats(values: Sequence[Any]) -> NDArray[np.float64]:
    return np.array([nan if value is None else value for value in values], np.float64)
