"""The figures of a comparison of two runs as SVG; an empty string if there is nothing to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.analysis.pages.plots import INK, LINE, MUTED, SERIES, draw_steps, figure, finish_steps, series

Values = NDArray[np.float64]
Lines = Sequence[Mapping[str, Any]]

FIRST, SECOND = SERIES[1], SERIES[0]
"""The colors of both runs."""


def curves(runs: tuple[Lines, Lines], key: str, title: str, *, percent: bool = False) -> str:
    """The values of a key of the log over steps, a curve per run: smoothed if they are not ``percent``."""
    drawn = [series(lines, key) for lines in runs]
    if not any(x.size for x, _ in drawn):
        return ""
    with figure(f"curves {key}", title, x_label="step") as (axes, result):
        for (x, y), color, name in zip(drawn, (FIRST, SECOND), ("A", "B"), strict=True):
            if x.size and percent:
                axes.plot(x, 100 * y, "o-", color=color, markersize=2.6, label=name)
            elif x.size:
                draw_steps(axes, x, y, color, label=name)
        finish_steps(axes)
        axes.legend(loc="lower right" if percent else "upper right")
    return result.svg


def paired_scores(first: Values, second: Values, score: str) -> str:
    """A dot per image: its score with one model against its score with the other, in percent."""
    both = np.isfinite(first) & np.isfinite(second)
    if not both.any():
        return ""
    x, y = 100 * first[both], 100 * second[both]
    low = min(float(x.min()), float(y.min()))
    with figure("pairs", f"{score} of each image, %", x_label="A", height=3.4) as (
        axes,
        result,
    ):
        axes.plot([low, 100], [low, 100], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        for mask, color, name in (
            (y > x, SERIES[2], "B is better"),
            (y < x, SERIES[4], "A is better"),
            (y == x, MUTED, "equal"),
        ):
            if not mask.any():
                continue
            label = f"{name}: {int(mask.sum())}"
            if len(x) > 4000:  # as one picture: thousands of elements would make the page slow
                axes.plot(
                    x[mask], y[mask], ".", color=color, markersize=2, alpha=0.4, label=label, rasterized=True
                )
            else:
                axes.plot(x[mask], y[mask], "o", color=color, markersize=3.5, alpha=0.6, label=label,
                          markeredgewidth=0)  # fmt: skip
        axes.set_ylabel("B")
        axes.legend(loc="upper left")
    return result.svg


def differences(values: Values, score: str) -> str:
    """The distribution over images of the difference B - A of a score, in percentage points."""
    points = 100 * values[np.isfinite(values)]
    if not points.size:
        return ""
    bound = max(1.0, float(np.abs(points).max()))
    title = f"images by difference of {score}, percentage points"
    with figure("differences", title, x_label="B \N{MINUS SIGN} A, percentage points", height=3.4) as (
        axes,
        result,
    ):
        edges = np.linspace(-bound, bound, 41)
        _, _, bars = axes.hist(points, edges.tolist(), rwidth=0.92)
        for edge, bar in zip(edges, list(bars), strict=False):  # type: ignore[arg-type]
            bar.set_color(SERIES[2] if edge + bound / 40 > 0 else SERIES[4])
        axes.axvline(0, color=LINE, linewidth=1)
        axes.axvline(float(points.mean()), color=INK, linewidth=1, label=f"mean {points.mean():+.2f}")
        axes.legend(loc="upper left")
    return result.svg
