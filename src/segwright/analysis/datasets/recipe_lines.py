"""Settings of a recipe that follow from the statistics of its training data, as lines to paste."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from segwright.analysis.datasets.statistics import SplitStatistics
from segwright.config import parts, walk
from segwright.training.recipe import Recipe

RULE = "effective_number"  # the mildest of the three rules


def recipe_lines(statistics: SplitStatistics, recipe: Recipe) -> Iterator[str]:
    """Options for ``segwright train`` with ``recipe``: class weights against imbalance, and the input's normalization.

    A network with pretrained weights needs the normalization of these weights: for it, that of the data is a comment.
    """
    if (statistics.std > 0).all():
        mean, std = listed(statistics.mean), listed(statistics.std)
        line = f"--set input.mean={mean} input.std={std} input.fill_value={mean}"
        is_pretrained = any(getattr(config, "weights", None) is not None for config in walk(recipe.model))
        if is_pretrained and len(statistics.mean) == len(recipe.input.mean):
            yield "# pretrained networks keep the mean and std of their weights; only from random weights:"
            line = f"# {line}"
        yield line
    if len(statistics.labels) == 1:
        return
    weights = listed(statistics.weights()[RULE], digits=4)
    for path in _weighted_losses(recipe):
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
