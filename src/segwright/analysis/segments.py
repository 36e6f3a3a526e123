"""The part of a report that is about objects: panoptic quality and average precision, and pictures of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import Any

from segwright.analysis import page
from segwright.labels import LabelSpace
from segwright.samples import Prediction, Sample
from segwright.visualization.label_maps import Picture, as_rgb
from segwright.visualization.segments import (
    colorize_prediction,
    draw_prediction,
    draw_ground_truth,
    overlay_heatmap,
    colorize_offsets,
)

KEY_FIGURES = {"PQ": "pq", "AP": "ap", "mIoU": "miou", "Pixel accuracy": "pixel_accuracy"}


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A class or a group of classes; fractions, NaN where there is nothing."""

    name: str
    color: str | None
    pq: float
    sq: float
    rq: float
    ap: float = nan
    ap50: float = nan


def class_rows(evaluation: Mapping[str, Any], labels: LabelSpace) -> list[SegmentRow]:
    """A row a class; none where the evaluation saw no segments."""
    panoptic, precision = evaluation.get("panoptic"), evaluation.get("average_precision") or {"class": {}}
    if not panoptic:
        return []
    return [
        SegmentRow(name, page.hex_of(color), *_values(panoptic["class"][name], precision["class"].get(name)))
        for name, color in zip(labels.names, labels.colors, strict=True)
    ]


def totals(evaluation: Mapping[str, Any]) -> list[SegmentRow]:
    """The means over all classes, things and stuff."""
    panoptic, precision = evaluation.get("panoptic"), evaluation.get("average_precision")
    if not panoptic:
        return []
    return [
        SegmentRow(
            f"{part} ({panoptic[part]['n']})",
            None,
            *_values(panoptic[part], precision["all"] if precision and part == "things" else None),
        )
        for part in ("all", "things", "stuff")
        if panoptic[part]["n"]
    ]


def pictures(sample: Sample, prediction: Prediction, labels: LabelSpace) -> tuple[tuple[str, Picture], ...]:
    """Truth beside prediction, object by object, and what the objects came from; none without objects."""
    if prediction.panoptic is None or sample.segments is None:
        return ()
    image = as_rgb(sample.image)
    shown = [
        ("image and prediction", draw_prediction(image, prediction, labels)),
        ("truth", draw_ground_truth(sample, labels)),
        ("prediction", colorize_prediction(prediction, labels)),
    ]
    if prediction.center_maps is not None:
        things = labels.thing_table()[prediction.semantic]  # elsewhere nobody asks for the offsets
        shown += [
            ("heat map and centers", overlay_heatmap(image, prediction.center_maps)),
            ("offsets of things", colorize_offsets(prediction.center_maps.offset * things)),
        ]
    return tuple(shown)


def _values(quality: Mapping[str, Any], precision: Mapping[str, Any] | None) -> list[float]:
    return [
        *(page.number_of(quality[name]) for name in ("pq", "sq", "rq")),
        *(page.number_of((precision or {}).get(name)) for name in ("ap", "ap50")),
    ]
