"""The images of a report: the worst and best cases, their drawings and their largest confusions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segwright.analysis.pages import page
from segwright.analysis.reports.confusions import top_confusions
from segwright.labels import LabelSpace
from segwright.visualization import label_maps

IMAGE_BUDGET = 4_500_000  # characters of the images of all cases together
LONGER_SIDES = (640, 480, 400, 320, 240, 160)  # the first one whose images fit the budget is taken


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One image of the report: ``image`` RGB [H, W, 3], the maps class indices [H, W], scores 0..1.

    ``truth`` is the ground truth. ``drawings``: captions and images that replace the drawings of the class maps, for
    models that predict segments; ``more_drawings`` come after all others. ``index``: that of the image in the split.
    """

    name: str
    miou: float
    pixel_accuracy: float
    image: NDArray[np.uint8]
    truth: NDArray[Any]
    prediction: NDArray[Any]
    group: Literal["worst", "best"]
    pq: float = math.nan
    drawings: Sequence[tuple[str, NDArray[np.uint8]]] = ()
    more_drawings: Sequence[tuple[str, NDArray[np.uint8]]] = ()
    index: int | None = None

    @property
    def score(self) -> float:
        """The score by which cases are sorted: PQ of a model that predicts segments, else mIoU."""
        return self.miou if math.isnan(self.pq) else self.pq


@dataclass(frozen=True, slots=True, eq=False)
class CaseView:
    """A case as the template shows it: images are (caption, data URI), confusions (truth, prediction, fraction)."""

    case: Case
    images: list[tuple[str, str]]
    confusions: list[tuple[str, str, float]]


def case_groups(cases: Sequence[Case], labels: LabelSpace) -> list[tuple[str, list[CaseView]]]:
    """Worst and best cases, each with its drawings as data URIs and its largest confusions."""
    drawings = [
        (
            *(
                case.drawings
                or (
                    ("image and prediction", label_maps.overlay(case.image, case.prediction, labels)),
                    ("ground truth", label_maps.colorize(case.truth, labels)),
                    ("prediction", label_maps.colorize(case.prediction, labels)),
                )
            ),
            (
                "class errors" if case.drawings else "errors",
                label_maps.error_map(case.prediction, case.truth, labels),
            ),
            *case.more_drawings,
        )
        for case in cases
    ]
    encoded: list[list[tuple[str, str]]] = []
    for side in LONGER_SIDES:
        encoded = [
            [(caption, label_maps.data_uri(drawing, side)) for caption, drawing in row] for row in drawings
        ]
        if sum(len(data) for row in encoded for _, data in row) <= IMAGE_BUDGET:
            break
    views = [
        CaseView(case, row, _case_confusions(case, labels)) for case, row in zip(cases, encoded, strict=True)
    ]
    groups = []
    for group, title, sign in (("worst", "Worst images", 1), ("best", "Best images", -1)):
        members = [view for view in views if view.case.group == group]
        members.sort(key=lambda view: (math.isnan(view.case.score), sign * view.case.score))
        groups += [(title, members)] if members else []
    return groups


def _case_confusions(case: Case, labels: LabelSpace) -> list[tuple[str, str, float]]:
    """The two largest confusions of one image: true class, predicted class, fraction of its scored pixels."""
    classes = len(labels)
    scored = (case.truth >= 0) & (case.truth < classes)
    predicted = case.prediction[scored].astype(np.int64)
    predicted = np.where((predicted >= 0) & (predicted < classes), predicted, classes)
    pairs = case.truth[scored].astype(np.int64) * (classes + 1) + predicted
    counts = np.bincount(pairs, minlength=classes * (classes + 1)).reshape(classes, classes + 1)
    top = top_confusions(counts, labels, limit=2)
    return [(confusion.truth, confusion.prediction, confusion.pixels / len(pairs)) for confusion in top]


def class_legend(cases: Sequence[Case], labels: LabelSpace) -> list[tuple[str, str]]:
    """Color and name of the classes that occur in the cases."""
    present = {
        int(index)
        for case in cases
        for classes in (case.truth, case.prediction)
        for index in np.unique(classes)
    }
    return [(page.hex_of(labels.colors[i]), labels.names[i]) for i in sorted(present) if 0 <= i < len(labels)]


def error_legend() -> list[tuple[str, str]]:
    """Color and meaning of the colors of error maps."""
    return [
        (page.hex_of(label_maps.CORRECT), "correct"),
        (page.hex_of(label_maps.NEAR_BORDER), "wrong, near a border of the ground truth"),
        (page.hex_of(label_maps.WRONG), "wrong, elsewhere"),
        (page.hex_of(label_maps.UNSCORED), "ignored (no ground truth)"),
    ]
