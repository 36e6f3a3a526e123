"""One endless order of samples, a function of the seed: no sampler state to save, none to restore."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from segwright.contracts import Dataset, UserError


@dataclass(frozen=True, slots=True)
class Place:
    """What stands at a position of the order: a sample, and the class that its view should show, if any."""

    index: int
    focus: int | None = None


@runtime_checkable
class Order(Protocol):
    """The endless order over an opened data set."""

    def at(self, position: int) -> Place:
        """What stands at ``position``, 0 and up."""


@runtime_checkable
class Sampling(Protocol):
    """A description of an order."""

    def open(self, dataset: Dataset, seed: int) -> Order:
        """The order over ``dataset``."""


@dataclass(slots=True)
class Shuffled:
    """Every sample once before any comes again."""

    def open(self, dataset: Dataset, seed: int) -> Order:
        """The order over ``dataset``."""
        return _Shuffled(len(dataset), seed)


@dataclass(slots=True)
class RareClasses:
    """Shuffled, but a ``share`` of the draws shows one of ``classes``: first the class is drawn, then an image
    that holds at least ``least`` pixels of it. A class named twice is drawn twice as often.

    Every map is read once at the start.
    """

    classes: tuple[str, ...]
    share: float = 0.5
    least: int = 50

    def open(self, dataset: Dataset, seed: int) -> Order:
        """The order over ``dataset``; ``UserError`` for a class that is not in its label space."""
        names = dataset.labels.names
        unknown = [name for name in self.classes if name not in names]
        if unknown:
            raise UserError(f"sampling.classes: no class {unknown[0]!r}; there are {', '.join(names)}")
        counts = np.stack(
            [
                np.bincount(dataset[i].semantic().ravel(), minlength=256)[: len(names)]
                for i in range(len(dataset))
            ]
        )
        wanted = [names.index(name) for name in self.classes]
        holders = [(c, np.flatnonzero(counts[:, c] >= self.least)) for c in wanted]
        return _RareClasses(
            _Shuffled(len(dataset), seed), seed, self.share, [h for h in holders if len(h[1])]
        )


@dataclass(frozen=True, slots=True)
class _Shuffled:
    count: int
    seed: int

    def at(self, position: int) -> Place:
        epoch, place = divmod(position, self.count)
        return Place(int(_permutation(self.seed, epoch, self.count)[place]))


@dataclass(frozen=True, slots=True)
class _RareClasses:
    shuffled: _Shuffled
    seed: int
    share: float
    holders: list[tuple[int, NDArray[np.int64]]] = field(default_factory=list)

    def at(self, position: int) -> Place:
        random = np.random.default_rng((self.seed, position, 1))
        if not self.holders or random.random() >= self.share:
            return self.shuffled.at(position)
        class_index, images = self.holders[random.integers(len(self.holders))]
        return Place(int(random.choice(images)), class_index)


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(count)


def positions(
    step: int, steps: int, *, batch: int, rank: int = 0, world: int = 1, parts: int = 1
) -> Iterator[list[int]]:
    """Positions of each micro-batch of this process from ``step`` on, ``parts`` a step.

    A step takes ``batch`` positions over all processes; processes and parts divide them without overlap, so
    their number changes who computes an image, never which images a step sees.
    """
    share = batch // (world * parts)
    for current in range(step, steps):
        for part in range(parts):
            first = current * batch + (part * world + rank) * share
            yield list(range(first, first + share))
