"""What is in a data set: pixels, images and instances of each class, sizes, colors, and the weights they suggest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.check import Progress
from segwright.labels import LabelSpace
from segwright.parallel import map_in_processes
from segwright.samples import Dataset, Sample

Values = NDArray[np.float64]

AREAS = tuple(4**k for k in range(2, 10))
"""Upper bounds in pixels of the size classes of instances: 16, 64, 256, ... and larger."""


@dataclass(slots=True)
class Counts:
    """Sums over samples, of which everything else is a ratio; they add up over samples and processes."""

    classes: int
    images: int = 0
    pixels: NDArray[np.int64] = field(init=False)  # [C + 1], the last one ignored
    together: NDArray[np.int64] = field(init=False)  # [C, C] images that show both, the diagonal: one
    instances: NDArray[np.int64] = field(init=False)  # [C, sizes]
    crowds: NDArray[np.int64] = field(init=False)  # [C]
    most_instances: int = 0
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    pixels_of_images: int = 0
    pixels_of_shown: NDArray[np.int64] = field(init=False)  # [C] pixels of the images that show the class
    values: Values | None = None  # [channels] sums of pixel values
    squares: Values | None = None

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.pixels = np.zeros(self.classes + 1, np.int64)
        self.together = np.zeros((self.classes, self.classes), np.int64)
        self.instances = np.zeros((self.classes, len(AREAS) + 1), np.int64)
        self.crowds = np.zeros(self.classes, np.int64)
        self.pixels_of_shown = np.zeros(self.classes, np.int64)

    def add(self, sample: Sample, things: NDArray[np.bool_]) -> None:
        """Count a sample; ``things`` [256] tells which class indices are things."""
        counts = np.bincount(sample.semantic().ravel(), minlength=256)
        self.images += 1
        self.pixels += np.append(counts[: self.classes], counts[255])
        shown = counts[: self.classes] > 0
        self.together += np.outer(shown, shown)
        size = (sample.image.shape[0], sample.image.shape[1])
        self.sizes[size] = self.sizes.get(size, 0) + 1
        flat = sample.image.reshape(-1, sample.image.shape[2]).astype(np.float64)
        values, squares = flat.sum(0), np.square(flat).sum(0)
        self.values = values if self.values is None else self.values + values
        self.squares = squares if self.squares is None else self.squares + squares
        self.pixels_of_images += len(flat)
        self.pixels_of_shown += shown * len(flat)
        self._add_instances(sample, things)

    def _add_instances(self, sample: Sample, things: NDArray[np.bool_]) -> None:
        single = [s for s in sample.segments or () if things[s.class_index] and not s.crowd]
        for segment in sample.segments or ():
            self.crowds[segment.class_index] += segment.crowd
        self.most_instances = max(self.most_instances, len(single))
        if not single:
            return
        ids, places = np.unique(sample.map, return_counts=True)
        areas = dict(zip(ids.tolist(), places.tolist(), strict=True))
        for segment in single:
            self.instances[segment.class_index, int(np.searchsorted(AREAS, areas.get(segment.id, 0)))] += 1

    def __add__(self, other: Counts) -> Counts:
        total = Counts(self.classes, self.images + other.images)
        for name in ("pixels", "together", "instances", "crowds", "pixels_of_images", "pixels_of_shown"):
            setattr(total, name, getattr(self, name) + getattr(other, name))
        total.most_instances = max(self.most_instances, other.most_instances)
        sizes = {*self.sizes, *other.sizes}
        total.sizes = {size: self.sizes.get(size, 0) + other.sizes.get(size, 0) for size in sizes}
        total.values = other.values if self.values is None else _added(self.values, other.values)
        total.squares = other.squares if self.squares is None else _added(self.squares, other.squares)
        return total


@dataclass(slots=True)
class Statistics:
    """The counts of a split as what people ask for. Shares are fractions 0..1; absent is NaN."""

    split: str
    labels: LabelSpace
    counts: Counts

    @property
    def shares(self) -> Values:
        """Each class's part of the pixels with truth, [C]."""
        pixels = self.counts.pixels[:-1]
        return np.asarray(pixels / max(1, int(pixels.sum())))

    @property
    def ignored(self) -> float:
        """The ignored part of all pixels."""
        return float(self.counts.pixels[-1] / max(1, int(self.counts.pixels.sum())))

    @property
    def has_instances(self) -> bool:
        """Whether anything but class maps was seen."""
        return bool(self.counts.instances.any() or self.counts.crowds.any())

    @property
    def images_with(self) -> NDArray[np.int64]:
        """Images that show each class, [C]."""
        return np.diagonal(self.counts.together)

    @property
    def mean(self) -> Values:
        """Mean value of each channel, in units of the files."""
        assert self.counts.values is not None
        return self.counts.values / self.counts.pixels_of_images

    @property
    def std(self) -> Values:
        """Standard deviation of each channel over all pixels, in units of the files."""
        assert self.counts.squares is not None
        return np.sqrt(np.maximum(self.counts.squares / self.counts.pixels_of_images - self.mean**2, 0))

    def weights(self) -> dict[str, Values]:
        """Class weights [C] by three rules; a class without pixels gets 0, so that it cannot spoil the scale.

        Median frequency (Eigen & Fergus 2015): the median of the frequencies over the own one, a frequency
        being pixels over the pixels of the images that show the class. Inverse log (ENet, Paszke et al. 2016):
        1 / ln(1.02 + share). Effective number (Cui et al. 2019): (1 - b) / (1 - b^n), where n is how many images
        the pixels of the class would fill and b = 1 - 1 / images, scaled to a mean of 1.
        """
        pixels = self.counts.pixels[:-1]
        shown = pixels > 0
        frequency = pixels / np.maximum(self.counts.pixels_of_shown, 1)
        median = float(np.median(frequency[shown])) if shown.any() else 1.0
        base = 1 - 1 / max(2, self.counts.images)
        filled = pixels * (self.counts.images / max(1, self.counts.pixels_of_images))
        effective = (1 - base) / np.maximum(1 - base**filled, 1e-12)
        rules = {
            "median_frequency": median / np.where(shown, frequency, 1),
            "inverse_log": 1 / np.log(1.02 + self.shares),
            "effective_number": effective / (effective[shown].mean() if shown.any() else 1),
        }
        return {name: np.where(shown, weight, 0.0) for name, weight in rules.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        weights = self.weights()
        return {
            "split": self.split,
            "images": self.counts.images,
            "ignored_share": self.ignored,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "most_instances_in_an_image": self.counts.most_instances,
            "sizes": [
                {"height": height, "width": width, "images": images}
                for (height, width), images in sorted(self.counts.sizes.items(), key=lambda item: -item[1])
            ],
            "instance_areas_up_to": [*AREAS, None],
            "classes": {
                name: {
                    "pixels": int(self.counts.pixels[i]),
                    "share": float(self.shares[i]),
                    "images": int(self.images_with[i]),
                    "instances": int(self.counts.instances[i].sum()),
                    "instances_by_area": self.counts.instances[i].tolist(),
                    "crowds": int(self.counts.crowds[i]),
                    "weights": {rule: round(float(values[i]), 4) for rule, values in weights.items()},
                }
                for i, name in enumerate(self.labels.names)
            },
            "images_with_both": self.counts.together.tolist(),
        }


def statistics(
    split: str, dataset: Dataset, *, workers: int = 0, progress: Progress | None = None
) -> Statistics:
    """Read every sample of a split once, in ``workers`` processes."""
    things = dataset.labels.thing_table()
    total = Counts(len(dataset.labels))
    groups = [list(range(first, min(first + 8, len(dataset)))) for first in range(0, len(dataset), 8)]
    count = partial(_count, dataset, things)
    for group, counts in zip(groups, map_in_processes(count, groups, workers=workers), strict=True):
        total = total + counts
        if progress is not None:
            progress(split, group[-1] + 1, len(dataset))
    return Statistics(split, dataset.labels, total)


def _count(dataset: Dataset, things: NDArray[np.bool_], indices: Iterable[int]) -> Counts:
    """The counts of some images, in the process that reads them, so that only sums travel."""
    counts = Counts(len(dataset.labels))
    for index in indices:
        counts.add(dataset[index], things)
    return counts


def _added(own: Values, other: Values | None) -> Values:
    return own if other is None else own + other
