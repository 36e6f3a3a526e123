"""The figures of the error analysis as SVG; an empty string if there is nothing to draw."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segwright.analysis.errors import boundaries, segment_sizes
from segwright.analysis.errors.objects import CAUSES
from segwright.analysis.errors.split_errors import ratios
from segwright.analysis.pages import page
from segwright.analysis.pages.plots import MAX_NAMED, MUTED, SERIES, figure, name_rows, note, short

Values = NDArray[np.float64]


def error_by_distance(distances: NDArray[np.int64]) -> str:
    """The error rate, and the share of all wrong pixels, by distance to a boundary (``BoundaryErrors.distances``)."""
    pixels, wrong = distances.astype(np.float64).T
    if not pixels.any():
        return ""
    names = range_names(boundaries.DISTANCES)[: 1 + int(np.flatnonzero(pixels).max())]
    pixels, wrong = pixels[: len(names)], wrong[: len(names)]
    rates, shares = 100 * ratios(wrong, pixels), 100 * ratios(wrong, np.full(len(wrong), wrong.sum()))
    positions = np.arange(len(names))
    label = "distance to the nearest boundary of the ground truth, pixels"
    with figure("distance", "errors by distance to a boundary, %", x_label=label) as (axes, result):
        axes.bar(
            positions, np.nan_to_num(shares), color=SERIES[0], alpha=0.3, label="share of all wrong pixels"
        )
        axes.plot(
            positions,
            rates,
            "o-",
            color=SERIES[4],
            markersize=4,
            label="wrong pixels of those at this distance",
        )
        axes.set_xticks(positions, names)
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper right")
    return result.svg


def scores_by_size(totals: Values) -> str:
    """Mean IoU, found segments and pixel recall by the area of segments; ``totals`` [bins, 5], summed over classes."""
    used = np.flatnonzero(totals[:, segment_sizes.SEGMENTS] > 0)
    if not used.size:
        return ""
    names = range_names(segment_sizes.AREAS, first=1)
    rows = totals[used]
    segments = rows[:, segment_sizes.SEGMENTS]
    lines = (
        ("mean IoU", ratios(rows[:, segment_sizes.IOU], segments)),
        ("found (IoU above 50 %)", ratios(rows[:, segment_sizes.FOUND], segments)),
        ("pixel recall", ratios(rows[:, segment_sizes.CORRECT], rows[:, segment_sizes.PIXELS])),
    )
    positions = np.arange(len(used))
    with figure("sizes", "segments by size, %", x_label="area of the segment, pixels") as (axes, result):
        for index, (name, values) in enumerate(lines):
            axes.plot(positions, 100 * values, "o-", color=SERIES[index], markersize=4, label=name)
        axes.set_xticks(positions, [names[index] for index in used], rotation=30, ha="right")
        axes.set_ylim(0, 104)
        axes.legend(loc="best")
    return result.svg


def causes_by_class(causes: NDArray[np.int64], names: Sequence[str]) -> str:
    """Stacked bars: the errors of each class [classes, causes, 2] by cause, false negatives and false positives."""
    totals = causes.sum(2)
    order = [int(i) for i in np.argsort(-totals.sum(1), kind="stable") if totals[i].any()][:MAX_NAMED]
    if not order:
        return ""
    height = max(2.2, 0.22 * len(order) + 1.0)
    positions = np.arange(len(order))
    title = "unmatched segments by class and cause"
    with figure("causes", title, x_label="segments", height=height) as (axes, result):
        left = np.zeros(len(order))
        for index, cause in enumerate(CAUSES):
            values = totals[order, index].astype(np.float64)
            axes.barh(positions, values, left=left, color=SERIES[index], height=0.7, label=cause)
            left += values
        name_rows(axes, [names[index] for index in order])
        axes.invert_yaxis()
        axes.legend(loc="lower right", ncols=2)
    return result.svg


def reliability(confidence: Values, accuracy: Values, counts: Values, error: float = math.nan) -> str:
    """A reliability diagram: the accuracy of the pixels in each bin of confidence, and how many there are.

    ``error``: the expected calibration error, a fraction 0..1; NaN if it is unknown.
    """
    used = (counts > 0) & np.isfinite(accuracy) & np.isfinite(confidence)
    if not used.any():
        return ""
    bins = np.arange(len(counts))
    with figure("reliability", "reliability diagram", x_label="confidence", height=3.2) as (axes, result):
        shares = counts / counts.sum()
        axes.bar(
            (bins + 0.5) / len(bins), shares, 0.9 / len(bins), color=MUTED, alpha=0.3, label="share of pixels"
        )
        axes.plot(
            [0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), label="perfectly calibrated"
        )
        axes.plot(confidence[used], accuracy[used], "o-", color=SERIES[0], markersize=4, label="accuracy")
        if math.isfinite(error):
            note(axes, f"expected calibration error {100 * error:.1f} %")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.legend(loc="upper left")
    return result.svg


def precision_recall(recall: Values, curves: Sequence[tuple[str, Values]], title: str) -> str:
    """Precision over recall, one curve (name, precision) each; up to six of them have a color and a name each."""
    drawn = [(name, values) for name, values in curves if np.isfinite(values).any()]
    if not drawn:
        return ""
    named = len(drawn) <= len(SERIES)
    with figure(title, title, x_label="recall", height=3.2) as (axes, result):
        for index, (name, values) in enumerate(drawn):
            color = SERIES[index] if named else SERIES[0]
            axes.plot(
                recall, values, color=color, alpha=1 if named else 0.35, label=short(name) if named else None
            )
        axes.set_ylabel("precision")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        if named:
            axes.legend(loc="lower left")
    return result.svg


def range_names(bounds: Sequence[int], *, first: int = 0) -> list[str]:
    """The names of bins of integers from ``first`` with these upper bounds, for example "0", "1", "2", "3-4", "> 4"."""
    names, previous = [], first - 1
    for bound in bounds:
        low, high = page.count(previous + 1), page.count(bound)
        names.append(high if low == high else f"{low}\N{EN DASH}{high}")
        previous = bound
    return [*names, f"> {page.count(bounds[-1])}"]
