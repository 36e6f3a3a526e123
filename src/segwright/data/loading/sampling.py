"""Sampling: the order in which training draws images, for example to counter class imbalance.

An order is endless and a function of the seed, so there is no sampler state to save or to restore.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from segwright.errors import UserError
from segwright.parallel import available_cores, map_in_processes
from segwright.samples import Dataset, Sample


@dataclass(frozen=True, slots=True)
class SampleRef:
    """The sample at a position of the order, and the class that its crop should contain, if any."""

    index: int
    target_class: int | None = None


@runtime_checkable
class SampleOrder(Protocol):
    """An endless order of the samples of a dataset."""

    def at(self, position: int) -> SampleRef:
        """The sample at ``position`` (0, 1, 2, ...)."""


@runtime_checkable
class AdaptsToBatch(Protocol):
    """A ``SampleOrder`` that gives the order for another batch size without another look at the dataset."""

    def with_batch(self, batch: int) -> SampleOrder:
        """The order that ``Sampling.open`` would give for this ``batch``."""


@runtime_checkable
class Sampling(Protocol):
    """Describes an order of samples; recipes name one in ``sampling``."""

    def open(self, dataset: Dataset, seed: int, batch: int = 1) -> SampleOrder:
        """The order for ``dataset``. A training step takes ``batch`` positions (the batch size over all processes)."""


@runtime_checkable
class ReportsSize(Protocol):
    """A dataset that knows the size of an image without decoding it."""

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of the image at ``index``."""


@dataclass(slots=True)
class ShuffledSampling:
    """Random order in which every sample comes once per epoch."""

    def open(self, dataset: Dataset, seed: int, batch: int = 1) -> SampleOrder:
        """The order for ``dataset``."""
        return _ShuffledOrder(len(dataset), seed)


@dataclass(slots=True)
class RareClassSampling:
    """Oversamples rare classes: with probability ``probability`` an image that contains one of ``classes`` is drawn.

    First one of ``classes`` is drawn (a class listed twice is twice as likely), then an image with at least
    ``min_pixels`` pixels of it, and the crop contains one of these pixels. Otherwise the order is shuffled. Every label
    map is read once at the start.
    """

    classes: tuple[str, ...]
    probability: float = 0.5
    min_pixels: int = 50

    def open(self, dataset: Dataset, seed: int, batch: int = 1) -> SampleOrder:
        """The order for ``dataset``; ``UserError`` for a class that its label space does not contain."""
        names = dataset.labels.names
        unknown = [name for name in self.classes if name not in names]
        if unknown:
            raise UserError(
                f"sampling.classes: unknown class {unknown[0]!r}; expected one of {', '.join(names)}"
            )
        classes = [names.index(name) for name in self.classes]
        return _rare_class_order(dataset, seed, classes, self.probability, self.min_pixels)


@dataclass(slots=True)
class ClassUniformSampling:
    """Class-uniform sampling (Zhu et al. 2019): with probability ``probability`` all classes are equally likely.

    First a class is drawn, then an image with at least ``min_pixels`` pixels of it, and the crop contains one of these
    pixels. Otherwise the order is shuffled. Every label map is read once at the start.
    """

    probability: float = 0.5
    min_pixels: int = 50

    def open(self, dataset: Dataset, seed: int, batch: int = 1) -> SampleOrder:
        """The order for ``dataset``."""
        classes = range(len(dataset.labels))
        return _rare_class_order(dataset, seed, classes, self.probability, self.min_pixels)


@dataclass(slots=True)
class RepeatFactorSampling:
    """Repeat factor sampling (LVIS, Gupta et al. 2019): images of rare classes come several times per epoch.

    An image is repeated max(1, sqrt(t / f)) times: t is ``threshold``, f the fraction of images with at least
    ``min_pixels`` pixels of a class, and the rarest class of the image counts. In each epoch the factor is rounded up
    or down at random. Every label map is read once at the start.
    """

    threshold: float = 0.01
    min_pixels: int = 1

    def open(self, dataset: Dataset, seed: int, batch: int = 1) -> SampleOrder:
        """The order for ``dataset``."""
        present = class_counts(dataset) >= self.min_pixels
        frequency = present.mean(axis=0)
        factors = np.sqrt(self.threshold / np.where(frequency > 0, frequency, np.inf))
        return _RepeatFactorOrder(np.cumsum(np.maximum(1.0, (present * factors).max(axis=1))), seed)


@dataclass(slots=True)
class AspectRatioGrouping:
    """Groups images by orientation, so that batches need little padding (as in CSAIL).

    The images of a step are either all portrait (higher than wide) or all not. The number of steps of each kind is
    proportional to its number of images, and the steps are evenly spread. Within a kind, every image comes once per
    epoch. A dataset without a method ``size(index)`` (see ``ReportsSize``) is read once at the start.
    """

    def open(self, dataset: Dataset, seed: int, batch: int = 1) -> SampleOrder:
        """The order for ``dataset``. A training step takes ``batch`` positions (the batch size over all processes)."""
        sizes = image_sizes(dataset)
        portrait = sizes[:, 0] > sizes[:, 1]
        return _AspectRatioOrder(np.flatnonzero(portrait), np.flatnonzero(~portrait), seed, batch)


def class_counts(dataset: Dataset, *, workers: int | None = None) -> NDArray[np.int64]:
    """Pixels of each class in each image, int64 [images, classes]; every label map is read once.

    ``workers`` processes read them; by default the number depends on the size of the dataset.
    """
    return _measure_all(dataset, partial(_count_pixels, classes=len(dataset.labels)), workers)


def image_sizes(dataset: Dataset, *, workers: int | None = None) -> NDArray[np.int64]:
    """Height and width of each image, int64 [images, 2]; every image is read unless the dataset reports its size."""
    # Checked to be callable: a dataset may have an attribute ``size`` that is something else.
    if isinstance(dataset, ReportsSize) and callable(dataset.size):
        sizes = [dataset.size(index) for index in range(len(dataset))]
        return np.array(sizes, dtype=np.int64).reshape(-1, 2)
    return _measure_all(dataset, _image_size, workers)


def _count_pixels(sample: Sample, classes: int) -> NDArray[np.int64]:
    return np.bincount(sample.semantic().ravel(), minlength=classes)[:classes]


def _image_size(sample: Sample) -> NDArray[np.int64]:
    return np.array(sample.image.shape[:2], dtype=np.int64)


def _measure_all(
    dataset: Dataset, measure: Callable[[Sample], NDArray[np.int64]], workers: int | None
) -> NDArray[np.int64]:
    """``measure`` of every sample, in the order of the dataset."""
    count = len(dataset)
    if workers is None:  # starting a process takes a moment, which a small dataset is not worth
        workers = min(8, available_cores()) if count > 500 else 0
    chunks = [range(first, min(first + 16, count)) for first in range(0, count, 16)]
    results = map_in_processes(partial(_measure_some, dataset, measure), chunks, workers=workers)
    return np.concatenate(list(results))


def _measure_some(
    dataset: Dataset, measure: Callable[[Sample], NDArray[np.int64]], indices: Iterable[int]
) -> NDArray[np.int64]:
    return np.stack([measure(dataset[index]) for index in indices])


def _rare_class_order(
    dataset: Dataset, seed: int, classes: Iterable[int], probability: float, min_pixels: int
) -> _RareClassOrder:
    counts = class_counts(dataset)
    images = [(index, np.flatnonzero(counts[:, index] >= min_pixels)) for index in classes]
    candidates = [(index, containing) for index, containing in images if len(containing)]
    return _RareClassOrder(_ShuffledOrder(len(dataset), seed), seed, probability, candidates)


@dataclass(frozen=True, slots=True)
class _ShuffledOrder:
    count: int
    seed: int

    def at(self, position: int) -> SampleRef:
        epoch, index = divmod(position, self.count)
        return SampleRef(int(_permutation((self.seed, epoch), self.count)[index]))

    def with_batch(self, batch: int) -> SampleOrder:
        return self


@dataclass(frozen=True, slots=True)
class _RareClassOrder:
    shuffled: _ShuffledOrder
    seed: int
    probability: float
    candidates: list[tuple[int, NDArray[np.int64]]] = field(
        default_factory=list
    )  # class, images that contain it

    def at(self, position: int) -> SampleRef:
        random = np.random.default_rng((self.seed, position, 1))
        if not self.candidates or random.random() >= self.probability:
            return self.shuffled.at(position)
        class_index, images = self.candidates[random.integers(len(self.candidates))]
        return SampleRef(int(random.choice(images)), class_index)

    def with_batch(self, batch: int) -> SampleOrder:
        return self


@dataclass(frozen=True, slots=True)
class _RepeatFactorOrder:
    ends: NDArray[np.float64]  # cumulative sum of the repeat factors
    seed: int

    def at(self, position: int) -> SampleRef:
        total = float(self.ends[-1])
        length = round(total)
        epoch, index = divmod(position, length)
        # Equally spaced points on the cumulative sum, with a new random offset per epoch: each image is hit as often
        # as its factor says, rounded down or up.
        offset = np.random.default_rng((self.seed, epoch, 4)).random()
        point = (int(_permutation((self.seed, epoch), length)[index]) + offset) * (total / length)
        return SampleRef(min(int(np.searchsorted(self.ends, point, side="right")), len(self.ends) - 1))

    def with_batch(self, batch: int) -> SampleOrder:
        return self


@dataclass(frozen=True, slots=True)
class _AspectRatioOrder:
    portrait: NDArray[np.int64]
    landscape: NDArray[np.int64]
    seed: int
    batch: int

    def at(self, position: int) -> SampleRef:
        step, within_step = divmod(position, self.batch)
        total = len(self.portrait) + len(self.landscape)
        phase = int(np.random.default_rng((self.seed, 0, 5)).integers(total))
        # Portrait steps before this step and up to it: the step is a portrait step if the number grows.
        before, after = ((count * len(self.portrait) + phase) // total for count in (step, step + 1))
        if after > before:
            images, step_of_kind, key = self.portrait, before, 6
        else:
            images, step_of_kind, key = self.landscape, step - before, 7
        epoch, index = divmod(step_of_kind * self.batch + within_step, len(images))
        return SampleRef(int(images[_permutation((self.seed, epoch, key), len(images))[index]]))

    def with_batch(self, batch: int) -> SampleOrder:
        return replace(self, batch=batch)


@lru_cache(maxsize=4)
def _permutation(key: tuple[int, ...], count: int) -> NDArray[np.int64]:
    return np.random.default_rng(key).permutation(count)


def positions(
    step: int, steps: int, *, batch: int, rank: int = 0, world: int = 1, accumulate: int = 1
) -> Iterator[list[int]]:
    """Positions in the order of each micro-batch of process ``rank``, from ``step`` to ``steps``.

    ``batch`` is the batch size over all ``world`` processes and ``accumulate`` micro-batches per step. They divide the
    positions of a step without overlap, so their number changes which process computes an image, but not the images
    of a step.
    """
    size = batch // (world * accumulate)
    for current in range(step, steps):
        for micro_batch in range(accumulate):
            first = current * batch + (micro_batch * world + rank) * size
            yield list(range(first, first + size))
