"""Settings of a recipe that follow from the statistics of its training data, as lines to paste."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from segwright.analysis.statistics import SplitStatistics
from segwright.config import parts
from segwright.training.recipe import Recipe

RULE = "effective_number"  # the mildest of the three rules


def recipe_lines(statistics: SplitStatistics, recipe: Recipe | None = None) -> Iterator[str]:
    """Options for ``segwright train``: the normalization of the images, and class weights against imbalance.

    ``recipe``: the one that is trained; its losses with class weights are named. By default that of ``own.semantic``.
    The normalization is for networks without pretrained weights: others need that of their weights.
    """
    if (statistics.std > 0).all():
        mean, std = listed(statistics.mean), listed(statistics.std)
        yield f"--set input.mean={mean} input.std={std} input.fill_value={mean}"
    weights = listed(statistics.weights()[RULE], digits=4)
    paths = ["loss.terms.0"] if recipe is None else _weighted_losses(recipe)
    for path in paths:
        yield f"--set {path}.class_weights={weights}"


def _weighted_losses(recipe: Recipe) -> list[str]:
    """The paths of the losses that take class weights."""
    return [path for path, part in parts(recipe.loss, "loss") if hasattr(part, "class_weights")]


def listed(values: NDArray[np.float64], digits: int = 5) -> str:
    """The values as a list that ``--set`` takes, without spaces."""
    return "[" + ",".join(significant(float(value), digits) for value in values) + "]"


def significant(value: float, digits: int = 5) -> str:
    """That many digits, at least the whole number, without an exponent: YAML 1.1 takes 1e-05 for text."""
    if not np.isfinite(value):
        return str(value)
    digits = max(digits, len(str(int(abs(value)))))
    return np.format_float_positional(value, precision=digits, unique=False, fractional=False, trim="0")
