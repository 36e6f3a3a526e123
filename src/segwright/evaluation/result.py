"""The result of an evaluation: scores and confusion matrix, as an object, as JSON and as a line of text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.errors import UserError
from segwright.files import nan_to_null
from segwright.labels import LabelSpace
from segwright.samples import Scores

MONITOR = {"semantic": "miou", "instance": "ap", "panoptic": "pq"}
"""The score that selects the best model of a task, unless ``Recipe.monitor`` names another one."""

TITLES = {
    "pq": "PQ", "sq": "SQ", "rq": "RQ", "ap": "AP", "ap50": "AP50", "cityscapes_ap": "Cityscapes AP",
    "foreground_iou": "foreground IoU", "f1": "F1",
    "miou": "mIoU", "pixel_accuracy": "pixel accuracy", "class_accuracy": "class accuracy",
}  # fmt: skip
"""The built-in headline scores and how they are written, the most telling ones first."""

_BESIDE_CITYSCAPES = {"ap": "COCO AP", "ap50": "COCO AP50"}  # where there are two kinds of AP, each is named

_TEXT_LEAVES_OUT = ("class_accuracy",)


@dataclass(slots=True)
class EvaluationResult:
    """The scores of a model on a split. All scores are fractions 0..1; NaN where nothing can be scored.

    ``confusion`` counts pixels, int64 [classes, classes + 1]: rows are ground truth, columns are predictions, the last
    column holds pixels that were predicted as no class. ``per_image``: ``index``, ``name`` and scores of each image.

    None unless dataset and model have such data: ``panoptic`` {all | things | stuff: {pq, sq, rq, n, tp, fp, fn,
    iou_sum}, class: {name: {...}}}; ``average_precision`` of the masks of things by the rules of COCO, {all: {ap, ap50,
    ..., ar100, ...}, class: {name: ...}, precision_recall: {recall, class: ...}}; ``cityscapes_average_precision``, the
    same by the rules of Cityscapes, if those are the rules of the dataset's benchmark; ``foreground``, the class IoU of
    a foreground head; ``binary_scores``, IoU and F1 of each channel of a sigmoid head.

    ``metrics``: the results of ``Recipe.metrics`` by name, those of all metrics together.
    """

    labels: LabelSpace
    scores: Scores
    confusion: NDArray[np.int64]
    per_image: list[dict[str, Any]] = field(default_factory=list)
    panoptic: dict[str, Any] | None = None
    average_precision: dict[str, Any] | None = None
    cityscapes_average_precision: dict[str, Any] | None = None
    foreground: dict[str, float] | None = None
    binary_scores: dict[str, Any] | None = None
    metrics: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, float]:
        """The main scores by name, as logs and tables show them."""
        summary = {name: getattr(self.scores, name) for name in ("miou", "pixel_accuracy", "class_accuracy")}
        if self.panoptic is not None:
            summary |= {name: self.panoptic["all"][name] for name in ("pq", "sq", "rq")}
        if self.average_precision is not None:
            summary |= {name: self.average_precision["all"][name] for name in ("ap", "ap50")}
        if self.cityscapes_average_precision is not None:
            summary["cityscapes_ap"] = self.cityscapes_average_precision["all"]["ap"]
        if self.foreground is not None:
            summary["foreground_iou"] = self.foreground["thing"]
        if self.binary_scores is not None:
            summary["f1"] = self.binary_scores["f1"]
        return summary | {name: value for name, value in self.metrics.items() if isinstance(value, float)}

    def selection_score(self, task: str, monitor: str | None = None) -> float:
        """The score that selects the best model: ``monitor``, by default that of ``MONITOR`` (NaN if it is missing).

        ``UserError`` if the evaluation has no score called ``monitor``.
        """
        summary = self.summary()
        if monitor is None:
            return summary.get(MONITOR[task], math.nan)
        if monitor not in summary:
            raise UserError(f"monitor: this evaluation has no score {monitor!r}; it has {', '.join(summary)}")
        return summary[monitor]

    def to_json(self) -> dict[str, Any]:
        """Values for a JSON file; null for NaN. ``metrics`` lists the names that come from ``Recipe.metrics``."""
        parts = {
            "panoptic": self.panoptic,
            "average_precision": self.average_precision,
            "cityscapes_average_precision": self.cityscapes_average_precision,
            "foreground": self.foreground,
            "binary_scores": self.binary_scores,
        }
        values = {
            **self.summary(),
            **asdict(self.scores),
            **{name: part for name, part in parts.items() if part is not None},
            **self.metrics,
            "metrics": list(self.metrics),
            "images": len(self.per_image),
            "confusion": self.confusion.tolist(),
            "per_image": self.per_image,
            "labels": self.labels.to_json(),
        }
        return dict(nan_to_null(values))


RESERVED = frozenset(
    {
        *TITLES, *Scores.__dataclass_fields__, "panoptic", "average_precision",
        "cityscapes_average_precision", "foreground", "binary_scores",
        "metrics", "images", "confusion", "per_image", "labels",
        "index", "name",  # of an image
        "model", "split", "scales", "flip", "fuse", "windows", "overlap", "blend", "crf", "fast", "compile",
        "oracle", "oracle_table",  # written by ``segwright evaluate``
        "kind", "step", "seconds",  # written by training
    }
)  # fmt: skip
"""The names that are taken in JSON files and logs: no metric of ``Recipe.metrics`` may return them."""


def headline_scores(values: Mapping[str, Any]) -> dict[str, float | None]:
    """The headline scores in ``values``, which come from ``EvaluationResult.to_json``; None where undefined."""
    own = values.get("metrics", ())
    names = [name for name in (*TITLES, *own) if name in values]
    return {name: values[name] for name in names if values[name] is None or isinstance(values[name], float)}


def format_scores(scores: Mapping[str, float | None]) -> str:
    """Headline scores in one line, in percent; undefined ones are left out. A score without a title has its name."""
    names = [*(name for name in TITLES if name in scores), *(name for name in scores if name not in TITLES)]
    values = {name: scores[name] for name in names if name not in _TEXT_LEAVES_OUT}
    titles = TITLES | (_BESIDE_CITYSCAPES if "cityscapes_ap" in scores else {})
    return ", ".join(
        f"{titles.get(name, name)} {value:.2%}"
        for name, value in values.items()
        if value is not None and not math.isnan(value)
    )
