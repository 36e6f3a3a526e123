"""The largest confusions of a confusion matrix, and ratios of counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.analysis import page
from segwright.labels import LabelSpace

MAX_CONFUSIONS = 15


@dataclass(frozen=True, slots=True)
class Confusion:
    """Pixels of one class that were predicted as another; ``fraction`` of the pixels of the true class."""

    truth: str
    prediction: str
    truth_color: str
    prediction_color: str
    fraction: float
    pixels: int


def top_confusions(
    counts: NDArray[np.int64], labels: LabelSpace, *, limit: int = MAX_CONFUSIONS
) -> list[Confusion]:
    """The largest off-diagonal entries of a confusion matrix [C, C or C + 1], at most ``limit``, by pixels."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    names = [*labels.names, "(no class)"]
    colors = [*(page.hex_of(color) for color in labels.colors), "transparent"]
    largest = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = [divmod(int(position), wrong.shape[1]) for position in largest]
    return [
        Confusion(
            truth=names[row],
            prediction=names[column],
            truth_color=colors[row],
            prediction_color=colors[column],
            fraction=ratio(wrong[row, column], counts[row].sum()),
            pixels=int(wrong[row, column]),
        )
        for row, column in pairs
        if wrong[row, column] > 0
    ]


def ratio(part: Any, total: Any) -> float:
    """``part / total``; NaN if ``total`` is 0."""
    return float(part) / float(total) if total else math.nan


def ratios(part: NDArray[Any], total: NDArray[Any]) -> NDArray[np.float64]:
    """``part / total`` of each entry; NaN where ``total`` is 0."""
    result: NDArray[np.float64] = np.full(part.shape, np.nan)
    np.divide(part, total, out=result, where=total > 0)
    return result
