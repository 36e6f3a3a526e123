"""The tables of ``segwright score panoptic`` and ``segwright score instance``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segwright.cli.tables import percent, print_table
from segwright.wording import count_of

if TYPE_CHECKING:
    from segwright.cli.tables import Cell

_COCO_COLUMNS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
_CITYSCAPES_COLUMNS = ("ap", "ap50", "ap_100m", "ap_50m", "ap50_50m")


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


def _line(values: Mapping[str, float], names: Sequence[str]) -> str:
    return "   ".join(f"{_title(name)} {percent(values[name])}" for name in names)


def _title(name: str) -> str:
    """How a table calls a score: "AP small" for "ap_small", "AR10" for "ar10", "AP 50m" for "ap_50m"."""
    return name[:2].upper() + name[2:].replace("_", " ")
