"""The comparison of two runs as one HTML page that works offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segwright.analysis.comparisons import comparison_figures
from segwright.analysis.comparisons.comparison_scores import ComparedScores, ScorePair
from segwright.analysis.comparisons.recipe_differences import Setting
from segwright.analysis.pages import page
from segwright.analysis.pages.plots import Lines
from segwright.analysis.reports import image_table
from segwright.analysis.reports.image_table import Column, ImageTable
from segwright.evaluation.result import TITLES, headline_scores
from segwright.labels import LabelSpace
from segwright.visualization.label_maps import RGBImage, data_uri

_SIDE = 480  # pixels of the longer side of a picture
_CAPTIONS = ("image", "ground truth", "prediction of A", "prediction of B")


@dataclass(frozen=True, slots=True, eq=False)
class RunLines:
    """The lines of the log of a run: steps and evaluations."""

    steps: Lines = ()
    evaluations: Lines = ()


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two runs, A and B; all that is in pairs is in this order.

    ``evaluations``: as ``EvaluationResult.to_json`` returns them. ``pixels`` and ``segments``: scores with intervals,
    where the errors of both runs were counted. ``settings``, ``environment``: what differs.
    """

    names: tuple[str, str]
    labels: LabelSpace
    evaluations: tuple[Mapping[str, Any], Mapping[str, Any]]
    pixels: ComparedScores | None = None
    segments: ComparedScores | None = None
    lines: tuple[RunLines, RunLines] = field(default_factory=lambda: (RunLines(), RunLines()))
    settings: Sequence[Setting] = ()
    environment: Sequence[Setting] = ()

    @property
    def main(self) -> ComparedScores | None:
        """The scores whose first one is the main score: PQ if both runs predict segments, else mIoU."""
        return self.segments or self.pixels

    @property
    def main_key(self) -> str:
        """The name of the main score."""
        has_pq = all(evaluation.get("pq") is not None for evaluation in self.evaluations)
        return "pq" if self.segments or (self.pixels is None and has_pq) else "miou"


@dataclass(frozen=True, slots=True, eq=False)
class ChangedImage:
    """An image that changed: its row, its name, its main score with both models, and the pictures of ``_CAPTIONS``."""

    row: int
    name: str
    first: float
    second: float
    pictures: tuple[RGBImage, ...]

    def views(self) -> list[tuple[str, str]]:
        """(caption, data URI) of each picture."""
        return [
            (caption, data_uri(image, _SIDE)) for caption, image in zip(_CAPTIONS, self.pictures, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """A row of a table of differences; ``bar``: how far its bar goes, 0..1 of the largest difference in the table."""

    name: str
    color: str | None
    pair: ScorePair
    bar: float


def render(
    comparison: Comparison, changed: Sequence[ChangedImage], table: ImageTable, *, csv_name: str
) -> str:
    """The page. It contains its figures as SVG and its images as JPEG, and stays below about 8 MB."""
    main = total_scores(comparison)[comparison.main_key]
    anchors = {image.row: f"image-{image.row}" for image in changed}
    return page.render(
        "comparison.html",
        comparison=comparison,
        main=main,
        main_title=TITLES[comparison.main_key],
        verdict=verdict(main),
        totals=[DifferenceRow(_title(name), None, pair, 0) for name, pair in total_scores(comparison).items()],
        tables=[
            (title, rows)
            for title, rows in (
                ("PQ per class", class_rows(comparison.segments, comparison.labels)),
                ("IoU per class", class_rows(comparison.pixels, comparison.labels)
                 or _evaluated_rows(comparison)),
            )
            if rows
        ],
        figures=_figures(comparison),
        groups=[
            (title, members)
            for title, members in (
                ("Better with B", [image for image in changed if image.second > image.first]),
                ("Worse with B", [image for image in changed if image.second < image.first]),
            )
            if members
        ],
        table=image_table.section(table, csv_name=csv_name, anchors=anchors),
        confidence=comparison.main.confidence if comparison.main else None,
        resamples=comparison.main.resamples if comparison.main else 0,
    )  # fmt: skip


def total_scores(comparison: Comparison) -> dict[str, ScorePair]:
    """The headline scores of both runs by name, the main one first; with intervals where errors were counted."""
    scores = [headline_scores(evaluation) for evaluation in comparison.evaluations]
    pairs = {
        name: ScorePair(page.number_of(scores[0][name]), page.number_of(scores[1][name]))
        for name in scores[0]
        if name in scores[1]
    }
    for counted in (comparison.segments, comparison.pixels):
        pairs |= counted.totals if counted else {}
    main = comparison.main_key
    return {main: pairs[main]} | {name: pair for name, pair in pairs.items() if name != main}


def class_rows(scores: ComparedScores | None, labels: LabelSpace) -> list[DifferenceRow]:
    """A row per class that has a score, the largest loss first."""
    if scores is None:
        return []
    return _rows(dict(zip(labels.names, scores.classes, strict=True)), labels)


def difference_table(comparison: Comparison) -> ImageTable:
    """The table of all images: the main score of each with both models, and the differences."""
    first, second = (list(evaluation.get("per_image") or ()) for evaluation in comparison.evaluations)
    key = comparison.main_key
    names = [name for name in (key, "miou", "pixel_accuracy") if any(name in image for image in first)]
    names = list(dict.fromkeys(names))
    columns = [Column("image", "Image", "text")]
    for name in names:
        title = _title(name)
        columns += [
            Column(f"{name}_difference", f"{title}, B \N{MINUS SIGN} A, points", "points"),
            Column(f"{name}_a", f"{title} of A, %", "score"),
            Column(f"{name}_b", f"{title} of B, %", "score"),
        ]
    rows = []
    for position, (left, right) in enumerate(zip(first, second, strict=True)):
        row: list[Any] = [str(left["name"])]
        for name in names:
            values = _image_scores(comparison, position, name, left, right)
            difference = None if None in values else values[1] - values[0]
            row += [difference, *values]
        rows.append(row)
    return ImageTable(comparison.labels, tuple(columns), rows, [])


def verdict(pair: ScorePair) -> str:
    """What the interval says, in one sentence."""
    if np.isnan(pair.difference):
        return "The score is undefined for one of the runs."
    if np.isnan(pair.low):
        return "Without the dataset there is no interval."
    if pair.is_clear:
        better = "B" if pair.difference > 0 else "A"
        return f"{better} is better: the interval does not contain 0."
    return "The images do not decide which one is better: the interval contains 0."


def _image_scores(
    comparison: Comparison, position: int, name: str, left: Mapping[str, Any], right: Mapping[str, Any]
) -> list[Any]:
    if name == comparison.main_key and comparison.main is not None:
        values = [float(scores[position]) for scores in (comparison.main.first, comparison.main.second)]
        return [None if np.isnan(value) else value for value in values]
    return [left.get(name), right.get(name)]


def _rows(pairs: Mapping[str, ScorePair], labels: LabelSpace) -> list[DifferenceRow]:
    shown = {n: p for n, p in pairs.items() if not (np.isnan(p.first) and np.isnan(p.second))}
    largest = max(
        [abs(pair.difference) for pair in shown.values() if not np.isnan(pair.difference)], default=0
    )
    rows = [
        DifferenceRow(
            name,
            page.hex_of(labels.colors[labels.names.index(name)]),
            pair,
            abs(float(np.nan_to_num(pair.difference))) / (largest or 1),
        )
        for name, pair in shown.items()
    ]
    return sorted(rows, key=lambda row: float(np.nan_to_num(row.pair.difference)))


def _evaluated_rows(comparison: Comparison) -> list[DifferenceRow]:
    """IoU per class as evaluated, for runs whose errors were not counted."""
    first, second = (evaluation.get("class_iou") or {} for evaluation in comparison.evaluations)
    pairs = {
        name: ScorePair(page.number_of(first.get(name)), page.number_of(second.get(name)))
        for name in comparison.labels.names
    }
    return _rows(pairs, comparison.labels)


def _figures(comparison: Comparison) -> list[str]:
    title = TITLES[comparison.main_key]
    first, second = comparison.lines
    evaluations, steps = (first.evaluations, second.evaluations), (first.steps, second.steps)
    main = comparison.main
    figures = [
        comparison_figures.paired_scores(main.first, main.second, title) if main else "",
        comparison_figures.differences(main.second - main.first, title) if main else "",
        comparison_figures.curves(evaluations, comparison.main_key, f"validation {title}, %", percent=True),
        comparison_figures.curves(steps, "loss", "loss"),
        comparison_figures.curves(steps, "lr", "learning rate"),
        comparison_figures.curves(steps, "images_per_second", "images per second"),
    ]
    return [svg for svg in figures if svg]


def _title(name: str) -> str:
    title = TITLES.get(name, name)
    return title if title == "mIoU" else title[:1].upper() + title[1:]
