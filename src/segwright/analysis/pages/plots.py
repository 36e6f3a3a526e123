"""The figures of a report as SVG to insert into HTML; an empty string if there is nothing to draw.

Colors become CSS variables, so that one figure fits a light and a dark page. Text stays text, in the font of the page.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segwright.analysis.pages import page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Lines = Sequence[Mapping[str, Any]]
Values = NDArray[np.float64]

INK, MUTED, LINE = "#1a212b", "#667086", "#e4e8ee"
SERIES = ("#2f6fec", "#e07a20", "#12946a", "#8a4fd2", "#c43d5b", "#0e8fa8")
_VARIABLES = {INK: "--ink", MUTED: "--muted", LINE: "--line"} | {
    color: f"--series-{number}" for number, color in enumerate(SERIES, start=1)
}

MATRIX_CORRECT, MATRIX_WRONG = (47, 111, 236), (220, 53, 69)
MATRIX_POWER = 0.6  # a few percent matter and would be invisible on a linear scale
MAX_NUMBERED = 16  # classes: with more of them the cells have no room for numbers
MAX_NAMED = 40  # classes: with more of them an axis has no room for their names

_MAX_POINTS = 1500
_FONT = "DejaVu Sans"  # shipped with matplotlib; only its widths are used, the page brings its own font
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "text.parse_math": False, "font.family": "sans-serif", "font.sans-serif": [_FONT],
    "font.size": 8, "axes.titlesize": 9, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "text.color": INK, "axes.labelcolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED,
    "axes.edgecolor": LINE, "grid.color": LINE, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.grid.axis": "y", "axes.axisbelow": True, "grid.linewidth": 0.7,
    "xtick.major.size": 0, "ytick.major.size": 0, "legend.frameon": False, "lines.linewidth": 1.6,
}  # fmt: skip


def losses(steps: Lines) -> str:
    """The loss and its terms over steps: each value faint, the smoothed curve strong."""
    keys = sorted({key for line in steps for key in line if key.startswith("loss/")})
    if len(keys) == 1 and series(steps, "loss")[0].size:
        keys = []  # a single term is the loss
    drawn = [(key, *series(steps, key)) for key in ("loss", *keys)]
    drawn = [(key, x, y) for key, x, y in drawn if x.size]
    if not drawn:
        return ""
    with figure("losses", "loss", x_label="step") as (axes, result):
        for index, (key, x, y) in enumerate(drawn):
            draw_steps(axes, x, y, SERIES[index % len(SERIES)], label=key)
        values = np.concatenate([smoothed(y) for _, _, y in drawn])
        if values.min() > 0 and values.max() > 8 * values.min():
            log_scale(axes, "y")
        finish_steps(axes)
        axes.legend(loc="upper right")
    return result.svg


def learning_rate(steps: Lines) -> str:
    """The learning rate over steps."""
    x, y = series(steps, "lr")
    if not x.size:
        return ""
    with figure("lr", "learning rate", x_label="step") as (axes, result):
        axes.plot(*_thinned(x, y), _mark(x), color=SERIES[3])
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        finish_steps(axes)
    return result.svg


def throughput(steps: Lines) -> str:
    """Images per second over steps, with the median."""
    x, y = series(steps, "images_per_second")
    if not x.size:
        return ""
    with figure("speed", "images per second", x_label="step") as (axes, result):
        draw_steps(axes, x, y, SERIES[2])
        median = float(np.median(y))
        axes.axhline(median, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_ylim(0, float(y.max()) * 1.15 or 1.0)
        note(axes, f"median {median:.3g}")
        finish_steps(axes)
    return result.svg


def validation(evaluations: Lines) -> str:
    """Scores of the evaluations during training over steps; the best PQ (or mIoU, without PQ) is marked."""
    keys = {"miou": "mIoU", "pixel_accuracy": "pixel accuracy", "class_accuracy": "class accuracy"}
    if any("pq" in line for line in evaluations):
        keys = {"pq": "PQ", "ap": "AP", "miou": "mIoU", "pixel_accuracy": "pixel accuracy"}
    marked = next(iter(keys))
    drawn = [(key, *series(evaluations, key)) for key in keys]
    drawn = [(key, x, y) for key, x, y in drawn if x.size]
    if not drawn:
        return ""
    with figure("validation", "validation scores, %", x_label="step") as (axes, result):
        for index, (key, x, y) in enumerate(drawn):
            axes.plot(x, 100 * y, color=SERIES[index], label=keys[key], marker="o", markersize=2.6)
            if key == marked:
                best = int(np.argmax(y))
                axes.plot(
                    x[best], 100 * y[best], marker="o", markersize=6.5, fillstyle="none", color=SERIES[0]
                )
                note(axes, f"best {keys[key]} {100 * y[best]:.1f} at step {x[best]:,.0f}")
        finish_steps(axes)
        axes.legend(loc="lower right")
    return result.svg


def histogram(values: Values) -> str:
    """The distribution of the mIoU of images (fractions; NaN is left out), with mean and median."""
    from matplotlib.ticker import MaxNLocator

    percent = 100 * values[np.isfinite(values)]
    if not percent.size:
        return ""
    low = min(10 * math.floor(percent.min() / 10), 90)
    high = max(10 * math.ceil(percent.max() / 10), low + 10)
    edges = np.linspace(low, high, (high - low) // 10 * (5 if high - low <= 50 else 2) + 1)
    with figure("images", "images by mIoU, %", x_label="mIoU of the image, %") as (axes, result):
        axes.hist(percent, edges.tolist(), color=SERIES[0], alpha=0.75, rwidth=0.92)
        mean, median = float(percent.mean()), float(np.median(percent))
        axes.axvline(mean, color=INK, linewidth=1, label=f"mean {mean:.1f}")
        axes.axvline(median, color=INK, linewidth=1, linestyle=(0, (2, 2)), label=f"median {median:.1f}")
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        axes.legend(loc="upper left")
    return result.svg


def class_fractions(truth: Values, predicted: Values, names: Sequence[str]) -> str:
    """Fractions of pixels per class [C] in ground truth and prediction, log scale, largest first."""
    if not (truth > 0).any() and not (predicted > 0).any():
        return ""
    order = np.argsort(-truth, kind="stable")
    named = len(names) <= MAX_NAMED
    height = max(2.0, 0.19 * len(names) + 0.7) if named else 2.7
    ranks = np.arange(len(names))
    pairs = [("ground truth", truth[order]), ("prediction", predicted[order])]
    label = "" if named else "class, largest first"
    with figure("class-pixels", "pixels per class, %", x_label=label, height=height) as (axes, result):
        for index, (title, fractions) in enumerate(pairs):
            x, y = ranks[fractions > 0], 100 * fractions[fractions > 0]
            horizontal, vertical = (y, x) if named else (x, y)
            size = 5.0 if named else 3.0
            color, fill = SERIES[index], "none" if index else SERIES[index]
            axes.plot(
                horizontal, vertical, "o", color=color, markersize=size, label=title, markerfacecolor=fill
            )
        if named:
            both = (truth[order] > 0) & (predicted[order] > 0)
            bars = 100 * truth[order][both], 100 * predicted[order][both]
            axes.hlines(ranks[both], np.minimum(*bars), np.maximum(*bars), color=LINE, linewidth=3, zorder=1)
            name_rows(axes, [names[index] for index in order])
            axes.set_ylim(len(names) - 0.4, -0.6)
        log_scale(axes, "x" if named else "y")
        (axes.set_xlim if named else axes.set_ylim)(
            None, min(150 * float(max(truth.max(), predicted.max())), 115)
        )
        axes.legend(loc="lower right" if named else "upper right")
    return result.svg


def matrix(fractions: Values, names: Sequence[str], columns: Sequence[str], title: str) -> str:
    """A heat map of a normalized confusion matrix [C, C or C + 1]; cells that are NaN stay empty.

    With up to ``MAX_NUMBERED`` classes, cells of at least half a percent show their percentage.
    """
    count = len(names)
    height = min(2.0 + 0.32 * count, 5.2)
    with figure("matrix " + title, title, x_label="prediction", size=(5.2, height)) as (axes, result):
        axes.imshow(_cells(fractions), interpolation="none")
        axes.grid(False)
        axes.set_ylabel("ground truth")
        axes.tick_params(labelsize=min(8.0, max(5.0, 190 / count)))
        if count <= MAX_NAMED:
            axes.set_xticks(range(len(columns)), [short(name) for name in columns], rotation=90)
            axes.set_yticks(range(count), [short(name) for name in names])
            axes.tick_params(labelcolor=INK)
        if count <= MAX_NUMBERED:
            for row, column in np.argwhere(fractions >= 0.005):
                fraction = float(fractions[row, column])
                color = "#ffffff" if fraction > 0.45 else INK
                axes.text(
                    column, row, f"{100 * fraction:.0f}", ha="center", va="center", color=color, fontsize=7
                )
    return result.svg


def smoothed(values: Values) -> Values:
    """An exponential moving average over about a fortieth of the values, without bias toward zero at the start."""
    decay = 1 - 2 / (max(len(values) / 40, 2.0) + 1)
    result, total, weight = np.empty_like(values), 0.0, 0.0
    for index, value in enumerate(values):
        total = decay * total + (1 - decay) * float(value)
        weight = decay * weight + (1 - decay)
        result[index] = total / weight
    return result


class Result:
    """The SVG of a figure, set when the ``with`` block of ``figure`` ends."""

    svg = ""


@contextmanager
def figure(
    salt: str, title: str, *, x_label: str, height: float = 2.7, size: tuple[float, float] | None = None
) -> Iterator[tuple[Axes, Result]]:
    """Axes to draw on, and the result, whose ``svg`` is the figure when the ``with`` block ends.

    ``salt`` names the figure: it keeps the ids inside the SVG unique on a page, and equal in every run.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import TightLayoutEngine

    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the font of the page may have it
        layout = TightLayoutEngine(pad=0.4, rect=None)  # type: ignore[arg-type]  # with a rect it measures twice
        figure = Figure(figsize=size or (5.2, height), facecolor="none", layout=layout)
        axes = figure.subplots(subplot_kw={"facecolor": "none"})
        axes.set_title(title)
        axes.set_xlabel(x_label)
        result = Result()
        yield axes, result
        result.svg = page.markup(_inline(figure, title))


def _inline(figure: Figure, title: str) -> str:
    """The figure as an ``<svg>`` element of HTML: no prolog, namespaces or fixed size; colors as CSS variables."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    text = io.StringIO()
    FigureCanvasSVG(figure).print_svg(text)  # type: ignore[no-untyped-call]  # savefig draws twice
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None
    svg = f'<svg {box.group()} role="img" aria-label="{title}">' + svg[svg.index(">") + 1 :]
    svg = svg.replace("xlink:href", "href").replace(f"'{_FONT}'", "var(--font)")
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    for color, name in _VARIABLES.items():
        svg = svg.replace(color, f"var({name})")
    return svg


def series(lines: Lines, key: str) -> tuple[Values, Values]:
    """Steps and values of a key, sorted by step. The later line counts if a resumed run repeated a step."""
    points = {int(line["step"]): line.get(key) for line in lines if "step" in line}
    finite = [(step, float(v)) for step, v in sorted(points.items()) if v is not None and math.isfinite(v)]
    table = np.array(finite, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def draw_steps(axes: Axes, x: Values, y: Values, color: str, label: str | None = None) -> None:
    """Each value faint, the smoothed curve strong."""
    axes.plot(*_thinned(x, y), color=color, alpha=0.25, linewidth=0.8)
    axes.plot(*_thinned(x, smoothed(y)), _mark(x), color=color, label=label)


def _mark(x: Values) -> str:
    return "o-" if len(x) == 1 else "-"  # a line through one point is invisible


def _thinned(x: Values, y: Values) -> tuple[Values, Values]:
    """At most ``_MAX_POINTS`` of the points, evenly spread, with the last one."""
    indices = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MAX_POINTS)).round().astype(int))
    return x[indices], y[indices]


def finish_steps(axes: Axes) -> None:
    """Ticks at whole steps."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(x=0.02)


def note(axes: Axes, text: str) -> None:
    """A remark at the right of the title."""
    axes.set_title(text, loc="right", fontsize=8, color=MUTED, fontweight="normal")


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Names in place of the numbers 0, 1, ... of the y axis, and a grid along the x axis only."""
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")


def log_scale(axes: Axes, which: str) -> None:
    """A log scale with plain numbers at its ticks, and more ticks if it spans few decades."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
    axis.set_major_formatter(lambda value, _: f"{value:.10g}")
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(which="minor", size=0)


def _cells(fractions: Values) -> NDArray[np.uint8]:
    """RGBA colors [C, C', 4]: one color for the diagonal, one for other cells; the opacity shows the fraction."""
    cells = np.zeros((*fractions.shape, 4), dtype=np.uint8)
    cells[..., :3] = MATRIX_WRONG
    diagonal = np.arange(len(fractions))
    cells[diagonal, diagonal, :3] = MATRIX_CORRECT
    opacity = np.nan_to_num(fractions, nan=0.0).clip(0, 1) ** MATRIX_POWER
    cells[..., 3] = np.round(255 * opacity).astype(np.uint8)
    return cells


def short(name: str) -> str:
    """A name, cut to 18 characters to fit an axis."""
    return name if len(name) <= 18 else name[:17] + "…"
