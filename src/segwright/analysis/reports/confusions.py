"""The largest confusions of a confusion matrix, and the ratio of two counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.analysis.errors.split_errors import SplitErrors
from segwright.analysis.pages import page
from segwright.labels import LabelSpace

MAX_CONFUSIONS = 15


@dataclass(frozen=True, slots=True)
class Confusion:
    """Pixels of one class that were predicted as another; ``fraction`` of the pixels of the true class.

    ``images``: how many images have such pixels; ``large``: in how many they are more than a tenth of the true class;
    ``most``: the name of the image with the most of them. None where only the confusion matrix is known.
    """

    truth: str
    prediction: str
    truth_color: str
    prediction_color: str
    fraction: float
    pixels: int
    images: int | None = None
    large: int | None = None
    most: str | None = None


def top_confusions(
    counts: NDArray[np.int64],
    labels: LabelSpace,
    *,
    limit: int = MAX_CONFUSIONS,
    errors: SplitErrors | None = None,
) -> list[Confusion]:
    """The largest off-diagonal entries of a confusion matrix [C, C or C + 1], at most ``limit``, by pixels.

    ``errors`` adds the images in which they occur, and up to ``limit`` further confusions that are large in the most
    images.
    """
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    names = [*labels.names, "(no class)"]
    colors = [*(page.hex_of(color) for color in labels.colors), "transparent"]
    chosen = np.argsort(-wrong, axis=None, kind="stable")[:limit].tolist()
    if errors is not None:
        large = errors.confusions.large[:, : wrong.shape[1]].copy()
        np.fill_diagonal(large, 0)
        large[wrong == 0] = 0
        frequent = np.argsort(-large, axis=None, kind="stable")[:limit].tolist()
        chosen += [position for position in frequent if position not in chosen and large.flat[position] > 0]
    pairs = [
        divmod(position, wrong.shape[1]) for position in sorted(chosen, key=lambda p: -int(wrong.flat[p]))
    ]
    image_names = {image.index: image.name for image in errors.images} if errors else {}
    return [
        Confusion(
            truth=names[row],
            prediction=names[column],
            truth_color=colors[row],
            prediction_color=colors[column],
            fraction=ratio(wrong[row, column], counts[row].sum()),
            pixels=int(wrong[row, column]),
            images=int(errors.confusions.images[row, column]) if errors else None,
            large=int(errors.confusions.large[row, column]) if errors else None,
            most=image_names.get(int(errors.confusions.most[row, column])) if errors else None,
        )
        for row, column in pairs
        if wrong[row, column] > 0
    ]


def ratio(part: float | np.number[Any], total: float | np.number[Any]) -> float:
    """``part / total``; NaN if ``total`` is 0."""
    return float(part) / float(total) if total else math.nan
