"""The tables of the verbs under ``segwright score``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segwright.cli.tables import percent, print_table, undefined_scores
from segwright.wording import count_of

if TYPE_CHECKING:
    from segwright.cli.tables import Cell

_COCO_COLUMNS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
_CITYSCAPES_COLUMNS = ("ap", "ap50", "ap_100m", "ap_50m", "ap50_50m")


def print_semantic(scores: Mapping[str, Any]) -> None:
    """Print a row per class and per category, then the totals."""
    columns = {"IoU": "class_iou", "iIoU": "class_iiou", "precision": "class_precision"}
    columns |= {"recall": "class_recall", "F1": "class_f1", "boundary": "class_boundary_iou"}
    columns = {title: key for title, key in columns.items() if key in scores}
    if all(math.isnan(value) for value in scores["class_iiou"].values()):  # no instances are known
        del columns["iIoU"]
    classes: list[list[Cell]] = [
        [name, *(scores[key][name] for key in columns.values())] for name in scores["class_iou"]
    ]
    by_category = {"IoU": "category_iou", "iIoU": "category_iiou"}
    categories: list[list[Cell]] = [
        [name, *(scores[by_category[title]][name] if title in by_category else None for title in columns)]
        for name, iou in scores["category_iou"].items()
        if not math.isnan(iou)
    ]
    totals = [
        {
            "mIoU": "miou",
            "iIoU": "mean_iiou",
            "category IoU": "mean_category_iou",
            "category iIoU": "mean_category_iiou",
        },
        {
            "pixel accuracy": "pixel_accuracy",
            "class accuracy": "class_accuracy",
            "fwIoU": "frequency_weighted_iou",
            "precision": "mean_precision",
            "F1": "mean_f1",
        },
        {name: name for name in scores["metrics"] if isinstance(scores[name], float)},
    ]
    lines = [
        {title: scores[key] for title, key in line.items() if not math.isnan(scores[key])} for line in totals
    ]
    footer = [
        "   ".join(f"{title} {percent(value)}" for title, value in line.items()) for line in lines if line
    ] + undefined_scores(scores)
    titles = ["", *(f"{title} %" for title in columns)]
    print_table(titles, classes, categories, title=count_of(scores["images"], "image"), footer=footer)


def print_panoptic(scores: Mapping[str, Any]) -> None:
    """Print PQ, SQ, RQ, TP, FP and FN per class and per group of classes."""

    def row(label: str, values: Mapping[str, Any]) -> list[Cell]:
        return [label, *(values[key] for key in ("pq", "sq", "rq")), *(str(values[key]) for key in counts)]

    counts = ("tp", "fp", "fn")
    classes = [row(name, values) for name, values in scores["class"].items()]
    groups = [
        row(f"{name}, {count_of(scores[name]['n'], 'class')}", scores[name])
        for name in ("all", "things", "stuff")
    ]
    name = "boundary PQ" if scores["kind"] == "boundary" else "PQ"
    columns = ["", f"{name} %", "SQ %", "RQ %", "TP", "FP", "FN"]
    print_table(columns, classes, groups, title=count_of(scores["images"], "image"))


def print_instances(scores: Mapping[str, Any]) -> None:
    """Print average precision per class, then the means over classes: by size and recall, or by overlap."""
    total = scores["all"]
    is_coco = "kind" in scores
    names = [name for name in (_COCO_COLUMNS if is_coco else _CITYSCAPES_COLUMNS) if name in total]
    if is_coco:
        names.append(f"ar{scores['max_detections']}")
        lines = [_line(total, [name for name in total if name.startswith(kind)]) for kind in ("ap", "ar")]
    else:
        overlaps = total["ap_by_overlap"]
        lines = [_line(total, names), "AP by overlap   " + _line(overlaps, list(overlaps))]
    classes: list[list[Cell]] = [
        [label, *(values[name] for name in names)] for label, values in scores["class"].items()
    ]
    columns = ["", *(f"{_title(name)} %" for name in names)]
    print_table(columns, classes, title=count_of(scores["images"], "image"), footer=lines)


def print_tracking(scores: Mapping[str, Any]) -> None:
    """Print STQ, AQ and IoU per sequence and in total."""

    def row(name: str, values: Mapping[str, Any]) -> list[Cell]:
        cells: list[Cell] = [name, *(values[key] for key in ("stq", "aq", "iou"))]
        return [*cells, str(values["tracks"]), str(values["frames"])]

    columns = ["sequence", "STQ %", "AQ %", "IoU %", "tracks", "frames"]
    rows = [row(name, values) for name, values in scores["sequence"].items()]
    print_table(columns, rows, [row("all", scores)], title=count_of(scores["sequences"], "sequence"))


def print_video_panoptic(scores: Mapping[str, Any]) -> None:
    """Print PQ of all classes, things and stuff per window size, and the means (VPQ)."""
    groups = ("all", "things", "stuff")
    rows: list[list[Cell]] = [
        [count_of(int(size), "frame"), *(values[group]["pq"] for group in groups)]
        for size, values in scores["window"].items()
    ]
    total: list[Cell] = ["VPQ", scores["vpq"], scores["vpq_things"], scores["vpq_stuff"]]
    title = f"{count_of(scores['sequences'], 'sequence')}, {count_of(scores['frames'], 'frame')}"
    print_table(["window", "all %", "things %", "stuff %"], rows, [total], title=title)


def _line(values: Mapping[str, float], names: Sequence[str]) -> str:
    return "   ".join(f"{_title(name)} {percent(values[name])}" for name in names)


def _title(name: str) -> str:
    """How a table calls a score: "AP small" for "ap_small", "AR10" for "ar10", "AP 50m" for "ap_50m"."""
    return name[:2].upper() + name[2:].replace("_", " ")
