"""What the rules of a suggestion need to know of the data; measured on at most 400 images, and fewer large ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.analysis.datasets.statistics import Counts, SplitStatistics
from segwright.data.check import Progress
from segwright.data.reading.rle import run_starts
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.memory import available_memory
from segwright.parallel import map_in_processes
from segwright.samples import Dataset, Sample

MOST_IMAGES = 400
LEAST_IMAGES = 32
MOST_PIXELS = 2_000_000_000  # of these images: minutes on two cores
MEASURING_BYTES = 80  # per pixel of an image, while it is measured
DISK_OFFSET = (
    0.38  # from a pixel of a disk to its center, on average: 2/3 of the radius; of the root of the area
)
INSIDE = 0.25  # of the larger side: objects whose centers are closer lie inside one another
LOG_SCALE = 8.0  # of ``InputContract`` for 8-bit images
LOGARITHMS = np.log1p(np.arange(256) / LOG_SCALE)


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """Objects of thing classes. Lengths are in pixels; the side of an object is the square root of its area.

    ``side``: the quantiles 25, 50 and 90 % of all sides. ``spacing``: the quantiles 2 and 10 % of the distance from a
    center to the nearest other center; infinite without two objects in an image. Centers closer than a quarter of the
    larger side are those of an object inside another one, and do not count. ``offset``: the typical distance
    from a pixel to the center of its object, where large objects count more because they have more pixels.
    ``density``: objects per labeled pixel. ``most``: objects in one image. ``nested``: the fraction of the objects of
    a class whose center lies on another object, for the class where it is largest.
    """

    count: int
    side: tuple[float, float, float] = (0.0, 0.0, 0.0)
    spacing: tuple[float, float] = (float("inf"), float("inf"))
    offset: float = 0.0
    density: float = 0.0
    most: int = 0
    nested: float = 0.0


@dataclass(frozen=True, slots=True)
class DataFacts:
    """The training split of a dataset.

    ``size``: the median (height, width). ``fractions``: of the labeled pixels, by class. ``unlabeled``: of all pixels.
    ``photographs``: 8-bit RGB. ``exposure``: brightness of the images, the quantile 90 % divided by that of 10 %.
    ``log_mean`` and ``log_std``: of log(1 + value / 8). ``objects``: None for class maps, which separate no objects.
    ``measured``: how many of the images the other facts come from; 0: unknown.
    """

    labels: LabelSpace
    images: int
    size: tuple[int, int]
    fractions: tuple[float, ...]
    unlabeled: float = 0.0
    mean: tuple[float, ...] = (127.5, 127.5, 127.5)
    std: tuple[float, ...] = (64.0, 64.0, 64.0)
    photographs: bool = True
    exposure: float = 1.0
    log_mean: float = 2.5
    log_std: float = 0.7
    objects: ObjectFacts | None = None
    measured: int = 0

    @property
    def has_void(self) -> bool:
        """Whether more than 1 % of the pixels are void (without label): then the model needs a foreground head."""
        return self.unlabeled > 0.01


def measure_data(
    dataset: Dataset,
    *,
    photographs: bool = True,
    workers: int = 0,
    progress: Progress | None = None,
) -> DataFacts:
    """The facts of a split, from at most 400 images at equal distances; ``UserError`` for one without images.

    Of large images fewer are read, 32 at least, for about two billion pixels. ``photographs``: False for a dataset
    whose number of bands was given. ``workers``: at most so many processes, as far as the memory allows.
    """
    if not len(dataset):
        raise UserError("the split train has no images; expected at least one")
    height, width = dataset[0].image.shape[:2]
    count = min(len(dataset), MOST_IMAGES, max(LEAST_IMAGES, MOST_PIXELS // (height * width)))
    indices = np.unique(np.linspace(0, len(dataset) - 1, count).round().astype(int))
    groups = [indices[first : first + 8].tolist() for first in range(0, len(indices), 8)]
    totals = _Totals(Counts(len(dataset.labels)))
    workers = min(workers, available_memory() // (2 * MEASURING_BYTES * height * width))
    measured = map_in_processes(partial(_measure, dataset), groups, workers=workers)
    for some in measured:
        totals = totals + some
        if progress is not None:
            progress("train", totals.counts.images, len(indices))
    return _facts(totals, len(dataset), dataset.labels, photographs=photographs)


@dataclass(slots=True)
class _Totals:
    """Sums and lists over images; they add up over processes."""

    counts: Counts
    brightness: list[float] = field(default_factory=list)  # of each image
    log_sums: tuple[float, float] = (0.0, 0.0)  # of log(1 + value / 8) and of its square, over all values
    eight_bits: bool = True
    segments: bool = False
    area: list[float] = field(default_factory=list)  # of each object
    class_index: list[int] = field(default_factory=list)
    nested: list[bool] = field(default_factory=list)
    spacing: list[float] = field(default_factory=list)

    def __add__(self, other: _Totals) -> _Totals:
        return _Totals(
            self.counts + other.counts,
            self.brightness + other.brightness,
            (self.log_sums[0] + other.log_sums[0], self.log_sums[1] + other.log_sums[1]),
            self.eight_bits and other.eight_bits,
            self.segments or other.segments,
            self.area + other.area,
            self.class_index + other.class_index,
            self.nested + other.nested,
            self.spacing + other.spacing,
        )


def _measure(dataset: Dataset, indices: Iterable[int]) -> _Totals:
    things = dataset.labels.thing_table()
    totals = _Totals(Counts(len(dataset.labels)))
    for index in indices:
        sample = dataset[index]
        totals.counts.add(sample, things)
        totals.brightness.append(float(sample.image.mean()))
        totals.eight_bits &= sample.image.dtype == np.uint8
        if sample.image.dtype == np.uint8:
            values, sums = _value_counts(sample.image), totals.log_sums
            totals.log_sums = (
                sums[0] + float(values @ LOGARITHMS),
                sums[1] + float(values @ np.square(LOGARITHMS)),
            )
        if sample.segments is not None:
            totals.segments = True
            _add_objects(totals, sample, things)
    return totals


def _value_counts(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each of the 256 values occurs. A few rows at a time: counting makes a copy of 64 bits."""
    rows = max(1, 2**20 // image[0].size)
    parts = (image[first : first + rows] for first in range(0, len(image), rows))
    return sum((np.bincount(part.reshape(-1), minlength=256) for part in parts), np.zeros(256, np.int64))


def _add_objects(totals: _Totals, sample: Sample, things: NDArray[np.bool_]) -> None:
    """Area, nesting and spacing of the objects of an image."""
    classes = {s.id: s.class_index for s in sample.segments or () if things[s.class_index] and not s.crowd}
    # Runs of equal pixels in each row, of which there are far fewer than pixels.
    size, width = sample.map.size, sample.map.shape[1]
    start = np.union1d(run_starts(sample.map), np.arange(0, size, width))
    length, (row, column) = np.diff(start, append=size), np.divmod(start, width)
    ids, index = np.unique(sample.map.reshape(-1)[start], return_inverse=True)
    area = np.bincount(index, length).astype(np.int64)
    rows, columns = np.bincount(index, length * row), np.bincount(index, length * (column + (length - 1) / 2))
    center = np.stack([rows / area, columns / area], axis=1)
    is_object = np.array([int(id) in classes for id in ids])
    if not is_object.any():
        return
    at_center = sample.map[center[:, 0].astype(int), center[:, 1].astype(int)]
    nested = (at_center != ids) & np.isin(at_center, ids[is_object])
    totals.area += area[is_object].astype(float).tolist()
    totals.class_index += [classes[int(id)] for id in ids[is_object]]
    totals.nested += nested[is_object].tolist()
    totals.spacing += _spacing(center[is_object], area[is_object])


def _spacing(centers: NDArray[np.float64], area: NDArray[np.int64]) -> list[float]:
    """The distance from each of the centers [N, 2] to that of the nearest other object, which neither contains."""
    spacing: list[float] = []
    for first in range(0, len(centers), 256):
        part = slice(first, first + 256)
        squares = np.square(centers[part, None] - centers).sum(2)
        larger = np.maximum(area[part, None], area)
        squares[squares < INSIDE**2 * larger] = np.inf  # this includes the object itself
        spacing += np.sqrt(squares.min(1)).tolist()
    return [distance for distance in spacing if np.isfinite(distance)]


def _facts(totals: _Totals, images: int, labels: LabelSpace, *, photographs: bool) -> DataFacts:
    counts, statistics = totals.counts, SplitStatistics("train", labels, totals.counts)
    sizes = np.repeat(np.array([*counts.sizes]), [*counts.sizes.values()], axis=0)
    channels = len(statistics.mean)
    values = max(1, counts.image_pixels * channels)
    log_mean = totals.log_sums[0] / values
    log_std = max(0.0, totals.log_sums[1] / values - log_mean**2) ** 0.5
    dark, bright = np.percentile(totals.brightness, (10, 90))
    height, width = np.median(sizes, axis=0)
    return DataFacts(
        labels,
        images,
        (int(height), int(width)),
        tuple(statistics.pixel_fractions.tolist()),
        statistics.ignored,
        tuple(statistics.mean.tolist()),
        tuple(statistics.std.tolist()),
        photographs and totals.eight_bits and channels == 3,
        float(max(bright, 1) / max(dark, 1)),
        log_mean,
        log_std,
        _object_facts(totals, int(counts.pixels[:-1].sum())) if totals.segments else None,
        counts.images,
    )


def _object_facts(totals: _Totals, labeled: int) -> ObjectFacts:
    if not totals.area:
        return ObjectFacts(0)
    area = np.array(totals.area)
    side = np.sqrt(area)
    offset = float(DISK_OFFSET * (area * side).sum() / area.sum())
    return ObjectFacts(
        len(area),
        _quantiles(side, 25, 50, 90),
        _quantiles(totals.spacing, 2, 10) if totals.spacing else (float("inf"), float("inf")),
        offset,
        len(area) / max(1, labeled),
        totals.counts.max_instances,
        _nested(totals),
    )


def _nested(totals: _Totals) -> float:
    """The largest fraction of nested objects among the classes with at least five objects."""
    classes, nested = np.array(totals.class_index), np.array(totals.nested)
    count, inside = np.bincount(classes), np.bincount(classes, nested)
    return float(np.max(inside / np.maximum(count, 1), where=count >= 5, initial=0.0))


def _quantiles(values: NDArray[Any] | Sequence[float], *percents: float) -> Any:
    return tuple(float(value) for value in np.percentile(values, percents))
