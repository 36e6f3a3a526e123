"""One endless order of samples, a function of the seed: no sampler state to save, none to restore."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def index_at(position: int, *, count: int, seed: int) -> int:
    """Index of the sample at ``position`` of the endless order: every ``count`` draws see each sample once."""
    epoch, place = divmod(position, count)
    return int(_permutation(seed, epoch, count)[place])


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(count)


def positions(step: int, steps: int, *, batch: int, rank: int = 0, world: int = 1, parts: int = 1) -> Iterator[list[int]]:
    """Positions of each micro-batch of this process from ``step`` on, ``parts`` a step.

    A step takes ``batch`` positions over all processes; processes and parts divide them without overlap, so
    their number changes who computes an image, never which images a step sees.
    """
    share = batch // (world * parts)
    for current in range(step, steps):
        for part in range(parts):
            first = current * batch + (part * world + rank) * share
            yield list(range(first, first + share))
