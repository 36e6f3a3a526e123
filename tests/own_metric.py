"""A metric of a user's own, and a recipe that uses it and selects the best model by it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace
from segwright.samples import Prediction, Sample
from segwright.training.recipe import Recipe
from tests.small import Blocks  # noqa: F401 - the file of a recipe must contain all its classes
from tests.small import recipe as small_recipe


@dataclass(slots=True)
class BlockRecall:
    """The fraction of the pixels of blocks that are predicted as their class, per class and over all."""

    classes: tuple[int, ...] = (1, 2)
    counts: NDArray[np.int64] | None = field(default=None, init=False)  # [classes, 2]: hits, pixels

    def add(self, prediction: Prediction, sample: Sample, labels: LabelSpace) -> Mapping[str, float]:
        truth = sample.semantic()
        own = np.array(
            [[((prediction.semantic == c) & (truth == c)).sum(), (truth == c).sum()] for c in self.classes]
        )
        self.counts = own if self.counts is None else self.counts + own
        return {"block_recall": own[:, 0].sum() / own[:, 1].sum()}

    def combine(self, other: BlockRecall) -> None:
        if other.counts is not None:
            self.counts = other.counts if self.counts is None else self.counts + other.counts

    def result(self) -> dict[str, Any]:
        if self.counts is None:
            return {"block_recall": math.nan, "block_recall_by_class": {}}
        hits, pixels = self.counts.T
        by_class = {str(c): ratio for c, ratio in zip(self.classes, hits / pixels, strict=True)}
        return {"block_recall": hits.sum() / pixels.sum(), "block_recall_by_class": by_class}


def recipe() -> Recipe:
    """The small recipe with this metric."""
    changed = small_recipe()
    changed.metrics, changed.monitor = (BlockRecall(),), "block_recall"
    changed.training.steps = 6
    return changed
