"""The statistics of a data set to read: a table for the console, figures and one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segwright.analysis import page, plots
from segwright.analysis.statistics import AREAS, Statistics

RULES = ("median_frequency", "inverse_log", "effective_number")
RULE_NAMES = ("median freq.", "inverse log", "effective no.")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table of classes."""

    name: str
    color: str
    share: float
    images: float
    instances: int
    crowds: int
    weights: tuple[float, ...]


def rows(of: Statistics) -> list[Row]:
    """One row a class, in class order."""
    weights = of.weights()
    return [
        Row(
            name,
            page.hex_of(of.labels.colors[i]),
            float(of.shares[i]),
            float(of.images_with[i] / max(1, of.counts.images)),
            int(of.counts.instances[i].sum()),
            int(of.counts.crowds[i]),
            tuple(float(weights[rule][i]) for rule in RULES),
        )
        for i, name in enumerate(of.labels.names)
    ]


def render(splits: Sequence[Statistics], name: str) -> str:
    """The page about one or more splits of a data set."""
    parts = [
        (of, key_figures(of), rows(of), [page.markup(svg) for svg in _figures(of) if svg]) for of in splits
    ]
    return page.render("statistics.html", name=name, parts=parts, rules=RULE_NAMES)


def key_figures(of: Statistics) -> list[tuple[str, str]]:
    """The numbers on top of the page."""
    sizes = of.counts.sizes
    (height, width), _ = max(sizes.items(), key=lambda item: item[1])
    others = f" and {len(sizes) - 1} more" if len(sizes) > 1 else ""
    instances = int(of.counts.instances.sum())
    figures = [
        ("images", page.count(of.counts.images)),
        ("classes with pixels", f"{int((of.shares > 0).sum())} of {len(of.labels)}"),
        ("ignored pixels", page.percent(of.ignored) + " %"),
        ("size", f"{width}x{height}{others}"),
        ("mean", _listed(of.mean)),
        ("standard deviation", _listed(of.std)),
    ]
    if instances:
        figures += [
            ("instances", page.count(instances)),
            ("most in an image", page.count(of.counts.most_instances)),
        ]
    return figures


def _listed(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.1f}" for value in values[:4]) + (" ..." if len(values) > 4 else "")


def _figures(of: Statistics) -> list[str]:
    names, images = of.labels.names, max(1, of.counts.images)
    return [
        dots("share of pixels with truth, %", 100 * of.shares, names, log=True),
        dots("images that show the class, %", 100 * of.images_with / images, names),
        _together(of),
        _sizes(of),
        _areas(of),
        dots("instances an image", of.counts.instances.sum(1) / images, names, log=True),
    ]


def dots(title: str, values: NDArray[np.float64], names: Sequence[str], *, log: bool = False) -> str:
    """A value a class as dots, the largest first; classes without one are left out."""
    order = [place for place in np.argsort(-values, kind="stable") if values[place] > 0]
    if not order:
        return ""
    named = len(order) <= plots.MOST_NAMED
    ranks = np.arange(len(order))
    height = max(1.6, 0.19 * len(order) + 0.7) if named else 2.7
    with plots.figure(title, title, x_label="" if named else "class, by value", height=height) as (
        axes,
        result,
    ):
        shown = values[order]
        if named:
            low = float(shown.min()) / 2 if log else 0.0
            axes.hlines(ranks, low, shown, color=plots.LINE, linewidth=3, zorder=1)
            axes.plot(shown, ranks, "o", color=plots.SERIES[0], markersize=5)
            axes.set_yticks(ranks, [plots.short(names[place]) for place in order])
            axes.tick_params(axis="y", labelcolor=plots.INK)
            axes.set_ylim(len(order) - 0.4, -0.6)
            axes.grid(True, axis="x")
            axes.grid(False, axis="y")
        else:
            axes.plot(ranks, shown, "o", color=plots.SERIES[0], markersize=3)
        if log:
            plots.log_scale(axes, "x" if named else "y")
        elif named:
            axes.set_xlim(left=0)
    return result.svg


def _together(of: Statistics) -> str:
    """How many of the images that show one class show another one, too."""
    shown = [place for place in range(len(of.labels)) if of.images_with[place]]
    if not 2 <= len(shown) <= plots.MOST_NAMED:
        return ""
    both = of.counts.together[np.ix_(shown, shown)].astype(np.float64)
    names = [plots.short(of.labels.names[place]) for place in shown]
    title = "images with the row's class that show the column's, too, %"
    shares = both / np.diagonal(both)[:, None]
    height = min(2.0 + 0.32 * len(shown), 5.2)
    with plots.figure("together", title, x_label="", size=(5.2, height)) as (axes, result):
        cells = np.zeros((*shares.shape, 4))
        cells[..., :3] = np.array(plots.MATRIX_HIT) / 255
        cells[..., 3] = 0.85 * shares
        axes.imshow(cells, interpolation="none")
        axes.grid(False)
        axes.set_xticks(range(len(shown)), names, rotation=90)
        axes.set_yticks(range(len(shown)), names)
        axes.tick_params(labelcolor=plots.INK, labelsize=min(8.0, max(5.0, 190 / len(shown))))
        if len(shown) <= plots.MOST_NUMBERED:
            for row, column in np.ndindex(shares.shape):
                share = shares[row, column]
                color = "#ffffff" if share > 0.6 else plots.INK
                text = f"{100 * share:.0f}"
                axes.text(column, row, text, ha="center", va="center", color=color, fontsize=7)
    return result.svg


def _sizes(of: Statistics) -> str:
    """Width and height of the images, a larger dot for more of them."""
    if len(of.counts.sizes) < 2:
        return ""
    heights, widths = np.array(list(of.counts.sizes)).T
    images = np.array(list(of.counts.sizes.values()))
    with plots.figure("sizes", "image sizes, pixels", x_label="width") as (axes, result):
        axes.scatter(
            widths,
            heights,
            s=12 + 120 * images / images.max(),
            color=plots.SERIES[2],
            alpha=0.6,
            linewidths=0,
        )
        axes.set_ylabel("height")
        axes.set_xlim(0, 1.08 * widths.max())
        axes.set_ylim(0, 1.12 * heights.max())
    return result.svg


def _areas(of: Statistics) -> str:
    """Instances by area."""
    counts = of.counts.instances.sum(0)
    if not counts.any():
        return ""
    names = [f"≤ {round(area**0.5)}²" for area in AREAS] + [f"> {round(AREAS[-1] ** 0.5)}²"]
    with plots.figure("areas", "instances by area, pixels", x_label="area") as (axes, result):
        axes.bar(range(len(counts)), counts, color=plots.SERIES[1], width=0.8)
        axes.set_xticks(range(len(counts)), names)
    return result.svg
