"""One endless order of samples, a function of the seed: no sampler state to save, none to restore."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from segwright.errors import UserError
from segwright.parallel import map_in_processes
from segwright.samples import Dataset, Sample


@dataclass(frozen=True, slots=True)
class SampleRef:
    """What stands at a position of the order: a sample, and the class that its view should show, if any."""

    index: int
    target_class: int | None = None


@runtime_checkable
class Order(Protocol):
    """The endless order over an opened data set."""

    def at(self, position: int) -> SampleRef:
        """What stands at ``position``, 0 and up."""


@runtime_checkable
class Sampling(Protocol):
    """A description of an order."""

    def open(self, dataset: Dataset, seed: int, batch: int = 1) -> Order:
        """The order over ``dataset``, of which each step takes ``batch`` positions."""


@dataclass(slots=True)
class ShuffledSampling:
    """Every sample once before any comes again."""

    def open(self, dataset: Dataset, seed: int, batch: int = 1) -> Order:
        """The order over ``dataset``."""
        return _Shuffled(len(dataset), seed)


@dataclass(slots=True)
class RareClassSampling:
    """Shuffled, but a ``share`` of the draws shows one of ``classes``: first the class is drawn, then an image
    that holds at least ``least`` pixels of it. A class named twice is drawn twice as often.

    Every map is read once at the start.
    """

    classes: tuple[str, ...]
    share: float = 0.5
    least: int = 50

    def open(self, dataset: Dataset, seed: int, batch: int = 1) -> Order:
        """The order over ``dataset``; ``UserError`` for a class that is not in its label space."""
        names = dataset.labels.names
        unknown = [name for name in self.classes if name not in names]
        if unknown:
            raise UserError(f"sampling.classes: no class {unknown[0]!r}; there are {', '.join(names)}")
        wanted = [names.index(name) for name in self.classes]
        return _for_classes(dataset, seed, wanted, self.share, self.least)


@dataclass(slots=True)
class ClassUniformSampling:
    """Shuffled, but in a ``share`` of the draws every class of the data comes equally often.

    First the class is drawn, then an image that holds at least ``least`` pixels of it, whose view then shows
    it (Zhu et al. 2019). Every map is read once at the start.
    """

    share: float = 0.5
    least: int = 50

    def open(self, dataset: Dataset, seed: int, batch: int = 1) -> Order:
        """The order over ``dataset``."""
        return _for_classes(dataset, seed, range(len(dataset.labels)), self.share, self.least)


@dataclass(slots=True)
class RepeatFactorSampling:
    """Images of rare classes come more often (LVIS, Gupta et al. 2019): an image max(1, sqrt(t / f)) times.

    t is ``threshold``, f the part of the images that hold at least ``least`` pixels of a class; the rarest
    class of the image counts. In each round an image comes the whole part of its factor or once more. Every
    map is read once at the start.
    """

    threshold: float = 0.01
    least: int = 1

    def open(self, dataset: Dataset, seed: int, batch: int = 1) -> Order:
        """The order over ``dataset``."""
        holds = class_counts(dataset) >= self.least
        share = holds.mean(axis=0)
        factors = np.sqrt(self.threshold / np.where(share > 0, share, np.inf))
        return _Repeated(np.cumsum(np.maximum(1.0, (holds * factors).max(axis=1))), seed)


@dataclass(slots=True)
class AspectRatioGrouping:
    """Shuffled, but the images of a step are all wider than high, or none is (S2), so that little is padded.

    The steps of the two kinds are as many as their images ask for, evenly spread; among images of one kind
    every one comes once before any comes again. Without ``size(index)`` -> (height, width) of the data set,
    every image is read once at the start.
    """

    def open(self, dataset: Dataset, seed: int, batch: int = 1) -> Order:
        """The order over ``dataset``, of which each step takes ``batch`` positions."""
        sizes = image_sizes(dataset)
        high = sizes[:, 0] > sizes[:, 1]
        return _ByOrientation(np.flatnonzero(high), np.flatnonzero(~high), seed, batch)


def class_counts(dataset: Dataset, *, workers: int | None = None) -> NDArray[np.int64]:
    """Pixels of each class in each image, int64 [images, classes]; every map is read once.

    ``workers`` processes read it; by default as many as the size of the data set is worth.
    """
    return _of_each(dataset, partial(_count, classes=len(dataset.labels)), workers)


def image_sizes(dataset: Dataset, *, workers: int | None = None) -> NDArray[np.int64]:
    """Height and width of each image, int64 [images, 2]: what ``dataset.size(index)`` says if there is such a
    method, else every image is read once."""
    size = getattr(dataset, "size", None)
    if callable(size):
        return np.array([size(index) for index in range(len(dataset))], dtype=np.int64).reshape(-1, 2)
    return _of_each(dataset, _size, workers)


def _count(sample: Sample, classes: int) -> NDArray[np.int64]:
    return np.bincount(sample.semantic().ravel(), minlength=classes)[:classes]


def _size(sample: Sample) -> NDArray[np.int64]:
    return np.array(sample.image.shape[:2], dtype=np.int64)


def _of_each(
    dataset: Dataset, measure: Callable[[Sample], NDArray[np.int64]], workers: int | None
) -> NDArray[np.int64]:
    """What ``measure`` finds in every sample, in the order of the dataset."""
    count = len(dataset)
    if workers is None:  # a process takes a moment to start
        workers = min(8, os.cpu_count() or 1) if count > 500 else 0
    parts = [range(first, min(first + 16, count)) for first in range(0, count, 16)]
    return np.concatenate(
        list(map_in_processes(partial(_measured, dataset, measure), parts, workers=workers))
    )


def _measured(
    dataset: Dataset, measure: Callable[[Sample], NDArray[np.int64]], indices: Iterable[int]
) -> NDArray[np.int64]:
    return np.stack([measure(dataset[index]) for index in indices])


def _for_classes(
    dataset: Dataset, seed: int, wanted: Iterable[int], share: float, least: int
) -> _RareClasses:
    counts = class_counts(dataset)
    holders = [(c, np.flatnonzero(counts[:, c] >= least)) for c in wanted]
    return _RareClasses(_Shuffled(len(dataset), seed), seed, share, [h for h in holders if len(h[1])])


@dataclass(frozen=True, slots=True)
class _Shuffled:
    count: int
    seed: int

    def at(self, position: int) -> SampleRef:
        epoch, place = divmod(position, self.count)
        return SampleRef(int(_permutation((self.seed, epoch), self.count)[place]))


@dataclass(frozen=True, slots=True)
class _RareClasses:
    shuffled: _Shuffled
    seed: int
    share: float
    holders: list[tuple[int, NDArray[np.int64]]] = field(default_factory=list)

    def at(self, position: int) -> SampleRef:
        random = np.random.default_rng((self.seed, position, 1))
        if not self.holders or random.random() >= self.share:
            return self.shuffled.at(position)
        class_index, images = self.holders[random.integers(len(self.holders))]
        return SampleRef(int(random.choice(images)), class_index)


@dataclass(frozen=True, slots=True)
class _Repeated:
    ends: NDArray[np.float64]  # running sum of the factors
    seed: int

    def at(self, position: int) -> SampleRef:
        total = float(self.ends[-1])
        length = round(total)
        epoch, place = divmod(position, length)
        # Marks at equal distances, shifted anew each round: each image gets its factor rounded down or up.
        shift = np.random.default_rng((self.seed, epoch, 4)).random()
        mark = (int(_permutation((self.seed, epoch), length)[place]) + shift) * (total / length)
        return SampleRef(min(int(np.searchsorted(self.ends, mark, side="right")), len(self.ends) - 1))


@dataclass(frozen=True, slots=True)
class _ByOrientation:
    high: NDArray[np.int64]
    wide: NDArray[np.int64]
    seed: int
    batch: int

    def at(self, position: int) -> SampleRef:
        step, place = divmod(position, self.batch)
        total = len(self.high) + len(self.wide)
        phase = int(np.random.default_rng((self.seed, 0, 5)).integers(total))
        before, after = ((s * len(self.high) + phase) // total for s in (step, step + 1))
        if after > before:
            images, number, kind = self.high, before, 6
        else:
            images, number, kind = self.wide, step - before, 7
        epoch, place = divmod(number * self.batch + place, len(images))
        return SampleRef(int(images[_permutation((self.seed, epoch, kind), len(images))[place]]))


@lru_cache(maxsize=4)
def _permutation(key: tuple[int, ...], count: int) -> NDArray[np.int64]:
    return np.random.default_rng(key).permutation(count)


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
