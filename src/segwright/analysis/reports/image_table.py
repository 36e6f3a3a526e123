"""The table of all images of a split: the data of the page, which sorts and filters them, and the CSV file."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from segwright.analysis.errors.boundaries import BOUNDARY, INTERIOR
from segwright.analysis.errors.objects import CAUSES
from segwright.analysis.errors.split_errors import ImageErrors, SplitErrors, class_iou
from segwright.analysis.pages import page
from segwright.analysis.reports.confusions import ratio
from segwright.files import nan_to_null
from segwright.labels import LabelSpace

MAX_ROWS = 20_000
"""The page has at most this many images, those with the lowest scores; the CSV file has all."""

MAX_CLASS_SCORES = 400_000
"""With more scores of classes in images, the page would be too large to filter by class; the CSV file has all."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name in the CSV file, its title, and the kind of its values.

    "text", "score" 0..1, "points" (a difference of scores), "count", or "number" (of a metric, in its own unit).
    """

    name: str
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class ImageTable:
    """One row per image; values are text, numbers, or None where undefined.

    ``class_scores``: the IoU of the classes that occur in each image, {class index: IoU}.
    """

    labels: LabelSpace
    columns: tuple[Column, ...]
    rows: list[list[Any]]
    class_scores: list[dict[int, float]]


def image_table(evaluation: Mapping[str, Any], errors: SplitErrors | None, labels: LabelSpace) -> ImageTable:
    """The table of the images of an evaluation, with the error counts of each image if there are any."""
    images = list(evaluation.get("per_image") or ())
    counted = {} if errors is None else {image.index: image for image in errors.images}
    has_pq = any(image.get("pq") is not None for image in images)
    scores = [("pq", "PQ, %")] * has_pq + [("miou", "mIoU, %"), ("pixel_accuracy", "Pixel accuracy, %")]
    known = {"index", "name", *(name for name, _ in scores)}
    own = [name for name in dict.fromkeys(key for image in images for key in image) if name not in known]
    columns = [Column("image", "Image", "text"), *(Column(name, title, "score") for name, title in scores)]
    columns += [Column(name, name, "number") for name in own]
    names = [*(name for name, _ in scores), *own]
    has_causes = errors is not None and errors.has_segments
    if counted:
        columns += _error_columns(has_causes)
    rows = []
    for position, image in enumerate(images):
        row = [str(image.get("name", "")), *(nan_to_null(image.get(name)) for name in names)]
        if counted:
            row += _error_values(counted.get(image.get("index", position)), labels, has_causes)
        rows.append(row)
    class_scores = [_class_scores(counted.get(image.get("index", i))) for i, image in enumerate(images)]
    return ImageTable(labels, tuple(columns), rows, class_scores if counted else [])


def to_csv(table: ImageTable) -> str:
    """The table as CSV: fractions 0..1, undefined values empty, and a column with the IoU of each class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    classes = list(table.labels.names) if table.class_scores else []
    writer.writerow([*(column.name for column in table.columns), *(f"iou {name}" for name in classes)])
    for position, row in enumerate(table.rows):
        scores = table.class_scores[position] if classes else {}
        writer.writerow([*row, *(scores.get(index) for index in range(len(classes)))])
    return text.getvalue()


def section(table: ImageTable, *, csv_name: str, anchors: Mapping[int, str] | None = None) -> str:
    """The section as HTML: the data, and the elements that ``image_table.js`` fills; empty without images.

    ``csv_name``: the name of the CSV file. ``anchors``: the ids of elements with pictures of an image, by row.
    """
    if not table.rows:
        return ""
    shown = _lowest(table)
    scores = [table.class_scores[row] for row in shown] if table.class_scores else []
    use_classes = 0 < sum(map(len, scores)) <= MAX_CLASS_SCORES
    rows_of = {row: position for position, row in enumerate(shown)}
    data = {
        "columns": [[column.title, column.kind] for column in table.columns],
        "rows": [[_short(value) for value in table.rows[row]] for row in shown],
        "classes": list(table.labels.names) if use_classes else [],
        "scores": [
            [number for index, iou in image.items() for number in (index, _short(iou))] for image in scores
        ]
        if use_classes
        else [],
        "anchors": {rows_of[row]: name for row, name in (anchors or {}).items() if row in rows_of},
        "file": csv_name,
    }
    texts = [column for column in table.columns if column.kind == "text"]
    # "<" may not occur: a name such as "</script>" would end the element.
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return page.section(
        "image_table.html",
        data=page.markup(text),
        images=len(table.rows),
        shown=len(shown),
        csv_name=csv_name,
        by_class=use_classes,
        placeholder="image or confusion" if len(texts) > 1 else "image",
    )


def _lowest(table: ImageTable) -> list[int]:
    """The rows that the page shows, in their order: all, or those with the lowest values in the second column."""
    rows = range(len(table.rows))
    if len(rows) <= MAX_ROWS:
        return list(rows)
    values = [math.inf if table.rows[row][1] is None else float(table.rows[row][1]) for row in rows]
    return sorted(np.argsort(values, kind="stable")[:MAX_ROWS].tolist())


def _error_columns(has_causes: bool) -> list[Column]:
    columns = [
        Column("boundary_error", "Errors near boundaries, %", "score"),
        Column("interior_error", "Errors elsewhere, %", "score"),
    ]
    if has_causes:
        columns += [Column(cause.replace(" ", "_"), cause.capitalize(), "count") for cause in CAUSES]
    return [*columns, Column("largest_confusion", "Largest confusion", "text")]


def _error_values(image: ImageErrors | None, labels: LabelSpace, has_causes: bool) -> list[Any]:
    if image is None:
        return [None] * len(_error_columns(has_causes))
    zones = image.zones
    values: list[Any] = [nan_to_null(ratio(zones[zone, 1], zones[zone, 0])) for zone in (BOUNDARY, INTERIOR)]
    if has_causes:
        assert image.causes is not None
        values += image.causes.sum(1).tolist()
    return [*values, confusion_text(image, labels)]


def confusion_text(image: ImageErrors, labels: LabelSpace) -> str:
    """The largest confusion of an image as text, "true → predicted"; empty if every pixel is correct."""
    true, predicted, pixels = image.confusion
    names = [*labels.names, "(no class)"]
    return f"{names[true]} → {names[predicted]}" if pixels else ""


def _class_scores(image: ImageErrors | None) -> dict[int, float]:
    if image is None:
        return {}
    scores = class_iou(image.classes)
    return {int(index): float(scores[index]) for index in np.flatnonzero(np.isfinite(scores))}


def _short(value: Any) -> Any:
    """A number with five decimals: the page shows percent with one."""
    return round(value, 5) if isinstance(value, float) else value
