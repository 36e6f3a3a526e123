"""Statistics of a dataset: pixels, images and instances per class, image sizes, mean and std, class weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.check import Progress
from segwright.data.reading.rle import run_starts
from segwright.labels import LabelSpace
from segwright.metrics.arrays import refuse_huge_matrix
from segwright.parallel import map_in_processes
from segwright.samples import Dataset, Sample, class_pixels

Values = NDArray[np.float64]

AREA_BOUNDS = tuple(4**k for k in range(2, 10))
"""Upper bounds in pixels of the bins of instance areas: 16, 64, 256, ...; the last bin has no bound."""


@dataclass(slots=True)
class Counts:
    """Sums over samples; they add up over processes, and all statistics are ratios of them."""

    classes: int
    images: int = 0
    pixels: NDArray[np.int64] = field(init=False)  # [C + 1], the last one ignored
    co_occurrence: NDArray[np.int64] = field(
        init=False
    )  # [C, C] images with both classes; diagonal: with the class
    instances: NDArray[np.int64] = field(init=False)  # [C, bins of areas]
    crowds: NDArray[np.int64] = field(init=False)  # [C]
    max_instances: int = 0  # in one image
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    image_pixels: int = 0  # of all images
    class_image_pixels: NDArray[np.int64] = field(init=False)  # [C] of the images that contain the class
    values: Values | None = None  # [channels] sums of pixel values
    squares: Values | None = None  # [channels] sums of their squares

    def __post_init__(self) -> None:
        """Start all sums at zero; ``UserError`` if those of pairs of classes do not fit the memory."""
        refuse_huge_matrix(self.classes, "a co-occurrence matrix")
        self.pixels = np.zeros(self.classes + 1, np.int64)
        self.co_occurrence = np.zeros((self.classes, self.classes), np.int64)
        self.instances = np.zeros((self.classes, len(AREA_BOUNDS) + 1), np.int64)
        self.crowds = np.zeros(self.classes, np.int64)
        self.class_image_pixels = np.zeros(self.classes, np.int64)

    def add(self, sample: Sample, things: NDArray[np.bool_]) -> None:
        """Count a sample; ``things`` marks the class indices of things (``LabelSpace.thing_table``)."""
        counts = class_pixels(sample, self.classes)
        self.images += 1
        self.pixels += counts
        present = counts[:-1] > 0
        self.co_occurrence += np.outer(present, present)
        size = (sample.image.shape[0], sample.image.shape[1])
        self.sizes[size] = self.sizes.get(size, 0) + 1
        rows = max(1, 2**18 // size[1])  # at a time: a whole large image in float64 may not fit the memory
        for first in range(0, size[0], rows):
            flat = sample.image[first : first + rows].reshape(-1, sample.image.shape[2]).astype(np.float64)
            self.values = _sum(flat.sum(0), self.values)
            self.squares = _sum(np.square(flat).sum(0), self.squares)
        self.image_pixels += size[0] * size[1]
        self.class_image_pixels += present * (size[0] * size[1])
        self._add_instances(sample, things)

    def _add_instances(self, sample: Sample, things: NDArray[np.bool_]) -> None:
        instances = [s for s in sample.segments or () if things[s.class_index] and not s.crowd]
        for segment in sample.segments or ():
            self.crowds[segment.class_index] += segment.crowd
        self.max_instances = max(self.max_instances, len(instances))
        if not instances:
            return
        start = run_starts(sample.map)
        ids, index = np.unique(sample.map.reshape(-1)[start], return_inverse=True)
        areas = dict(
            zip(ids.tolist(), np.bincount(index, np.diff(start, append=sample.map.size)), strict=True)
        )
        for segment in instances:
            self.instances[
                segment.class_index, int(np.searchsorted(AREA_BOUNDS, areas.get(segment.id, 0)))
            ] += 1

    def __add__(self, other: Counts) -> Counts:
        total = Counts(self.classes, self.images + other.images)
        for name in ("pixels", "co_occurrence", "instances", "crowds", "image_pixels", "class_image_pixels"):
            setattr(total, name, getattr(self, name) + getattr(other, name))
        total.max_instances = max(self.max_instances, other.max_instances)
        sizes = {*self.sizes, *other.sizes}
        total.sizes = {size: self.sizes.get(size, 0) + other.sizes.get(size, 0) for size in sizes}
        total.values = other.values if self.values is None else _sum(self.values, other.values)
        total.squares = other.squares if self.squares is None else _sum(self.squares, other.squares)
        return total


@dataclass(slots=True)
class SplitStatistics:
    """The statistics of a split, computed from its counts. Fractions are 0..1."""

    split: str
    labels: LabelSpace
    counts: Counts

    @property
    def pixel_fractions(self) -> Values:
        """Pixels of each class as a fraction of all scored (not ignored) pixels, [C]."""
        pixels = self.counts.pixels[:-1]
        return np.asarray(pixels / max(1, int(pixels.sum())))

    @property
    def ignored(self) -> float:
        """Ignored pixels as a fraction of all pixels."""
        return float(self.counts.pixels[-1] / max(1, int(self.counts.pixels.sum())))

    @property
    def has_instances(self) -> bool:
        """Whether the split has instances or crowds."""
        return bool(self.counts.instances.any() or self.counts.crowds.any())

    @property
    def images_with(self) -> NDArray[np.int64]:
        """Number of images that contain each class, [C]."""
        return np.diagonal(self.counts.co_occurrence)

    @property
    def mean(self) -> Values:
        """Mean value of each channel, in units of the files."""
        assert self.counts.values is not None
        return self.counts.values / self.counts.image_pixels

    @property
    def std(self) -> Values:
        """Standard deviation of each channel over all pixels, in units of the files."""
        assert self.counts.squares is not None
        squares = self.counts.squares / self.counts.image_pixels
        variance = squares - self.mean**2
        return np.sqrt(np.where(variance > 1e-14 * squares, variance, 0))  # less is rounding of a constant

    def weights(self) -> dict[str, Values]:
        """Class weights [C] against class imbalance, by three rules; a class without pixels gets 0.

        Median frequency (Eigen & Fergus 2015): median of all frequencies / own frequency, where a frequency is the
        pixels of a class / the pixels of the images that contain it. Inverse log (ENet, Paszke et al. 2016): 1 /
        ln(1.02 + fraction of the pixels). Effective number (Cui et al. 2019): (1 - b) / (1 - b^n), where n is how many
        images the pixels of the class would fill and b = 1 - 1 / images, scaled to a mean of 1.
        """
        pixels = self.counts.pixels[:-1]
        present = pixels > 0
        frequency = pixels / np.maximum(self.counts.class_image_pixels, 1)
        median = float(np.median(frequency[present])) if present.any() else 1.0
        base = 1 - 1 / max(2, self.counts.images)
        filled = pixels * (self.counts.images / max(1, self.counts.image_pixels))
        effective = (1 - base) / np.maximum(1 - base**filled, 1e-12)
        rules = {
            "median_frequency": median / np.where(present, frequency, 1),
            "inverse_log": 1 / np.log(1.02 + self.pixel_fractions),
            "effective_number": effective / (effective[present].mean() if present.any() else 1),
        }
        return {name: np.where(present, weight, 0.0) for name, weight in rules.items()}

    def to_json(self) -> dict[str, Any]:
        """Values for a JSON file."""
        weights = self.weights()
        return {
            "split": self.split,
            "images": self.counts.images,
            "ignored_share": self.ignored,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "most_instances_in_an_image": self.counts.max_instances,
            "sizes": [
                {"height": height, "width": width, "images": images}
                for (height, width), images in sorted(self.counts.sizes.items(), key=lambda item: -item[1])
            ],
            "instance_areas_up_to": [*AREA_BOUNDS, None],
            "classes": {
                name: {
                    "pixels": int(self.counts.pixels[i]),
                    "share": float(self.pixel_fractions[i]),
                    "images": int(self.images_with[i]),
                    "instances": int(self.counts.instances[i].sum()),
                    "instances_by_area": self.counts.instances[i].tolist(),
                    "crowds": int(self.counts.crowds[i]),
                    "weights": {rule: round(float(values[i]), 4) for rule, values in weights.items()},
                }
                for i, name in enumerate(self.labels.names)
            },
            "images_with_both": self.counts.co_occurrence.tolist(),
        }


def dataset_statistics(
    split: str, dataset: Dataset, *, workers: int = 0, progress: Progress | None = None
) -> SplitStatistics:
    """The statistics of a split; every sample is read once, in ``workers`` processes (0: in this one)."""
    things = dataset.labels.thing_table()
    total = Counts(len(dataset.labels))
    groups = [list(range(first, min(first + 8, len(dataset)))) for first in range(0, len(dataset), 8)]
    count = partial(_count, dataset, things)
    for group, counts in zip(groups, map_in_processes(count, groups, workers=workers), strict=True):
        total = total + counts
        if progress is not None:
            progress(split, group[-1] + 1, len(dataset))
    return SplitStatistics(split, dataset.labels, total)


def _count(dataset: Dataset, things: NDArray[np.bool_], indices: Iterable[int]) -> Counts:
    """The counts of some images, made in the process that reads them: only sums are sent between processes."""
    counts = Counts(len(dataset.labels))
    for index in indices:
        counts.add(dataset[index], things)
    return counts


def _sum(values: Values, other: Values | None) -> Values:
    return values if other is None else values + other
