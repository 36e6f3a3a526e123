"""The section of a report about segments: panoptic quality, average precision, and drawings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import Any

from segwright.analysis.pages import page
from segwright.labels import LabelSpace
from segwright.samples import Prediction, Sample
from segwright.visualization.label_maps import RGBImage, as_rgb
from segwright.visualization.segments import (
    colorize_offsets,
    colorize_prediction,
    draw_ground_truth,
    draw_prediction,
    overlay_heatmap,
)

KEY_FIGURES = {"PQ": "pq", "AP": "ap", "mIoU": "miou", "Pixel accuracy": "pixel_accuracy"}
_KEY_FIGURES_OF_CITYSCAPES = {
    "PQ": "pq", "COCO AP": "ap", "Cityscapes AP": "cityscapes_ap", "mIoU": "miou", "Pixel accuracy": "pixel_accuracy",
}  # fmt: skip


def key_figures(evaluation: Mapping[str, Any]) -> Mapping[str, str]:
    """Title -> name of the most important scores; AP by the rules of COCO and, if there are others, by these."""
    return _KEY_FIGURES_OF_CITYSCAPES if "cityscapes_ap" in evaluation else KEY_FIGURES


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """The scores of a class or a group of classes: fractions 0..1; NaN where undefined."""

    name: str
    color: str | None
    pq: float
    sq: float
    rq: float
    ap: float = nan
    ap50: float = nan


def class_rows(evaluation: Mapping[str, Any], labels: LabelSpace) -> list[SegmentRow]:
    """One row per class; no rows if the evaluation has no panoptic scores."""
    panoptic, precision = evaluation.get("panoptic"), evaluation.get("average_precision") or {"class": {}}
    if not panoptic:
        return []
    return [
        SegmentRow(name, page.hex_of(color), *_values(panoptic["class"][name], precision["class"].get(name)))
        for name, color in zip(labels.names, labels.colors, strict=True)
    ]


def totals(evaluation: Mapping[str, Any]) -> list[SegmentRow]:
    """The means over all classes, over things and over stuff."""
    panoptic, precision = evaluation.get("panoptic"), evaluation.get("average_precision")
    if not panoptic:
        return []
    return [
        SegmentRow(
            f"{group} ({panoptic[group]['n']})",
            None,
            *_values(panoptic[group], precision["all"] if precision and group == "things" else None),
        )
        for group in ("all", "things", "stuff")
        if panoptic[group]["n"]
    ]


def drawings(sample: Sample, prediction: Prediction, labels: LabelSpace) -> tuple[tuple[str, RGBImage], ...]:
    """(caption, image) of ground truth, prediction and center maps; none unless both have segments."""
    if prediction.panoptic is None or sample.segments is None:
        return ()
    image = as_rgb(sample.image)
    images = [
        ("image and prediction", draw_prediction(image, prediction, labels)),
        ("ground truth", draw_ground_truth(sample, labels)),
        ("prediction", colorize_prediction(prediction, labels)),
    ]
    if prediction.center_maps is not None:
        things = labels.thing_table()[prediction.semantic]  # offsets elsewhere are neither trained nor used
        images += [
            ("heat map and centers", overlay_heatmap(image, prediction.center_maps)),
            ("offsets of things", colorize_offsets(prediction.center_maps.offset * things)),
        ]
    return tuple(images)


def _values(quality: Mapping[str, Any], precision: Mapping[str, Any] | None) -> list[float]:
    return [
        *(page.number_of(quality[name]) for name in ("pq", "sq", "rq")),
        *(page.number_of((precision or {}).get(name)) for name in ("ap", "ap50")),
    ]
