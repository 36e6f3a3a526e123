"""The statistics of a dataset as an HTML page, and as rows and numbers for the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segwright.analysis.datasets.recipe_lines import recipe_lines, significant
from segwright.analysis.datasets.statistics import AREA_BOUNDS, SplitStatistics
from segwright.analysis.pages import page, plots
from segwright.training.recipe import Recipe
from segwright.visualization.label_maps import data_uri
from segwright.wording import count_of

RULES = ("median_frequency", "inverse_log", "effective_number")
RULE_NAMES = ("median freq.", "inverse log", "effective no.")
BANDS = ("mean", "standard deviation")
"""The key figures that are lists of a value per band."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table of classes.

    ``pixel_fraction`` of the class among the scored pixels, ``image_fraction`` of images that contain it, ``weights``
    in the order of ``RULES``.
    """

    name: str
    color: str
    pixel_fraction: float
    image_fraction: float
    instances: int
    crowds: int
    weights: tuple[float, ...]


def rows(statistics: SplitStatistics) -> list[Row]:
    """One row per class, in class order."""
    weights = statistics.weights()
    return [
        Row(
            name,
            page.hex_of(statistics.labels.colors[i]),
            float(statistics.pixel_fractions[i]),
            float(statistics.images_with[i] / max(1, statistics.counts.images)),
            int(statistics.counts.instances[i].sum()),
            int(statistics.counts.crowds[i]),
            tuple(float(weights[rule][i]) for rule in RULES),
        )
        for i, name in enumerate(statistics.labels.names)
    ]


def render(
    splits: Sequence[SplitStatistics],
    name: str,
    *,
    pictures: Mapping[str, NDArray[np.uint8]] | None = None,
    recipe: Recipe | None = None,
) -> str:
    """The page of one or more splits of a dataset.

    ``pictures``: a sheet of sample images by split, RGB uint8 [H, W, 3]. ``recipe``: the one that the page has lines
    for (``recipe_lines``).
    """
    sections = [
        (split, key_figures(split), rows(split), [svg for svg in _figures(split) if svg]) for split in splits
    ]
    sheets = {split: data_uri(picture, 1800) for split, picture in (pictures or {}).items()}
    training = [split for split in splits if split.split == "train"]
    lines = {split.split: list(recipe_lines(split, recipe)) for split in training if recipe is not None}
    count = len(splits[0].labels)
    content = {
        "sections": sections,
        "rules": rule_names(splits[0]),
        "sheets": sheets,
        "lines": lines,
        "bands": BANDS,
    }
    title = {"name": name, "classes": count_of(count, "class"), "recipe": recipe.name if recipe else ""}
    return page.render("statistics.html", **title, **content)


def rule_names(statistics: SplitStatistics) -> tuple[str, ...]:
    """The titles of the rules for class weights; none if there is a single class, which needs no weight."""
    return RULE_NAMES if len(statistics.labels) > 1 else ()


def key_figures(statistics: SplitStatistics) -> list[tuple[str, str]]:
    """The numbers at the top of a section: (title, value as text)."""
    sizes = statistics.counts.sizes
    (height, width), _ = max(sizes.items(), key=lambda item: item[1])
    others = f" and {len(sizes) - 1} more" if len(sizes) > 1 else ""
    instances = int(statistics.counts.instances.sum())
    has_objects_only = statistics.has_instances and all(
        statistics.labels.thing_table()[: len(statistics.labels)]
    )
    figures = [
        ("images", page.count(statistics.counts.images)),
        ("classes with pixels", f"{int((statistics.pixel_fractions > 0).sum())} of {len(statistics.labels)}"),
        (
            "pixels outside objects" if has_objects_only else "ignored pixels",
            page.percent(statistics.ignored) + " %",
        ),
        ("size", f"{width}x{height}{others}"),
        ("mean", _listed(statistics.mean)),
        ("standard deviation", _listed(statistics.std)),
    ]
    if instances:
        figures += [
            ("instances", page.count(instances)),
            ("most instances in one image", page.count(statistics.counts.max_instances)),
        ]
    return figures


def _listed(values: NDArray[np.float64]) -> str:
    """The values as a list that a recipe takes (``--set input.mean=[...]``), with five significant digits."""
    return "[" + ", ".join(significant(float(value)) for value in values) + "]"


def _figures(statistics: SplitStatistics) -> list[str]:
    names, images = statistics.labels.names, max(1, statistics.counts.images)
    if len(names) == 1:  # nothing to compare
        return [_sizes(statistics), _areas(statistics)]
    return [
        dots("pixels of the class, % of scored pixels", 100 * statistics.pixel_fractions, names, log=True),
        dots("images that contain the class, %", 100 * statistics.images_with / images, names),
        _co_occurrence(statistics),
        _sizes(statistics),
        _areas(statistics),
        dots("instances per image", statistics.counts.instances.sum(1) / images, names, log=True),
    ]


def dots(title: str, values: NDArray[np.float64], names: Sequence[str], *, log: bool = False) -> str:
    """One value per class as dots, the largest first; classes without a value above 0 are left out."""
    order = [index for index in np.argsort(-values, kind="stable") if values[index] > 0]
    if not order:
        return ""
    named = len(order) <= plots.MAX_NAMED
    ranks = np.arange(len(order))
    height = max(1.6, 0.19 * len(order) + 0.7) if named else 2.7
    with plots.figure(title, title, x_label="" if named else "class, by value", height=height) as (
        axes,
        result,
    ):
        ordered = values[order]
        if named:
            low = float(ordered.min()) / 2 if log else 0.0
            axes.hlines(ranks, low, ordered, color=plots.LINE, linewidth=3, zorder=1)
            axes.plot(ordered, ranks, "o", color=plots.SERIES[0], markersize=5)
            plots.name_rows(axes, [names[index] for index in order])
            axes.set_ylim(len(order) - 0.4, -0.6)
        else:
            axes.plot(ranks, ordered, "o", color=plots.SERIES[0], markersize=3)
        if log:
            plots.log_scale(axes, "x" if named else "y")
        elif named:
            axes.set_xlim(left=0)
    return result.svg


def _co_occurrence(statistics: SplitStatistics) -> str:
    """For each pair of classes, how many of the images that contain the first one contain the second one as well."""
    present = [index for index in range(len(statistics.labels)) if statistics.images_with[index]]
    if not 2 <= len(present) <= plots.MAX_NAMED:
        return ""
    both = statistics.counts.co_occurrence[np.ix_(present, present)].astype(np.float64)
    names = [plots.short(statistics.labels.names[index]) for index in present]
    title = "images with the row's class that also contain the column's, %"
    fractions = both / np.diagonal(both)[:, None]
    height = min(2.0 + 0.32 * len(present), 5.2)
    with plots.figure("co-occurrence", title, x_label="", size=(5.2, height)) as (axes, result):
        cells = np.zeros((*fractions.shape, 4))
        cells[..., :3] = np.array(plots.MATRIX_CORRECT) / 255
        cells[..., 3] = 0.85 * fractions
        axes.imshow(cells, interpolation="none")
        axes.grid(False)
        axes.set_xticks(range(len(present)), names, rotation=90)
        axes.set_yticks(range(len(present)), names)
        axes.tick_params(labelcolor=plots.INK, labelsize=min(8.0, max(5.0, 190 / len(present))))
        if len(present) <= plots.MAX_NUMBERED:
            for row, column in np.ndindex(fractions.shape):
                fraction = fractions[row, column]
                color = "#ffffff" if fraction > 0.6 else plots.INK
                text = f"{100 * fraction:.0f}"
                axes.text(column, row, text, ha="center", va="center", color=color, fontsize=7)
    return result.svg


def _sizes(statistics: SplitStatistics) -> str:
    """Width and height of the images; a larger dot for more images."""
    heights, widths = np.array(list(statistics.counts.sizes)).T
    images = np.array(list(statistics.counts.sizes.values()))
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


def _areas(statistics: SplitStatistics) -> str:
    """Number of instances by area."""
    counts = statistics.counts.instances.sum(0)
    if not counts.any():
        return ""
    names = [f"≤ {round(area**0.5)}²" for area in AREA_BOUNDS] + [f"> {round(AREA_BOUNDS[-1] ** 0.5)}²"]
    with plots.figure("areas", "instances by area, pixels", x_label="area") as (axes, result):
        axes.bar(range(len(counts)), counts, color=plots.SERIES[1], width=0.8)
        axes.set_xticks(range(len(counts)), names)
    return result.svg
