"""What is known about one image, as NumPy arrays: the sample that a dataset gives, the prediction that a decoder gives.

``contracts`` goes on from here with batches, model outputs and losses. This file does not import torch, so that scoring
files and checking datasets start fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from segwright.labels import LabelSpace

IGNORED = 255
"""The value of a semantic map where there is no truth: no loss, no score."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a panoptic map; a crowd is a region of several objects that nobody separated."""

    id: int
    class_index: int
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """An image with exactly one integer map.

    ``image`` [H, W, C] uint8, uint16 or float32, RGB unless the data say otherwise. ``map`` [H, W]: without
    ``segments`` class indices (uint8, 255 = ignored); with ``segments`` int32 segment ids, 0 = void.
    """

    image: NDArray[Any]
    map: NDArray[Any]
    name: str
    segments: tuple[Segment, ...] | None = None

    def semantic(self) -> NDArray[np.uint8]:
        """Class index of every pixel, uint8 [H, W], 255 = ignored; crowds keep their class."""
        if self.segments is None:
            return self.map
        ids = np.array([0, *(s.id for s in self.segments)], dtype=np.int64)
        classes = np.array([IGNORED, *(s.class_index for s in self.segments)], dtype=np.uint8)
        return np.append(classes, np.uint8(IGNORED))[index_of(self.map, ids)]


def index_of(values: NDArray[Any], ids: Sequence[int] | NDArray[Any]) -> NDArray[np.int64]:
    """The position of each value in ``ids``, which are all different; -1 for a value that is not among them."""
    if not len(ids):
        return np.full(values.shape, -1, dtype=np.int64)
    known = np.asarray(ids, dtype=np.int64)
    order = np.argsort(known)
    nearest = order[np.searchsorted(known, values, sorter=order).clip(max=len(known) - 1)]
    return np.where(known[nearest] == values, nearest, -1)


@runtime_checkable
class Dataset(Protocol):
    """An opened split: samples by index, and the label space they are written in."""

    @property
    def labels(self) -> LabelSpace:
        """The label space that the samples are written in."""

    def __len__(self) -> int:
        """Number of images."""

    def __getitem__(self, index: int) -> Sample:
        """The sample as stored, in class indices."""

    def files(self, index: int) -> tuple[Path, ...]:
        """The files behind a sample (none where it is generated); the first one is the image."""


@dataclass(frozen=True, slots=True)
class AugmentationContext:
    """One draw of the endless sample order: the only source of randomness of an augmentation.

    ``random`` is a function of (seed, position); ``progress`` runs from 0 to 1 over the training and is equal
    for all images of one step; ``fill_value`` is the value where a view leaves the image; ``target_class`` is a class
    that the view should show; ``partner(k)`` is the k-th other sample to mix with, and its own draw;
    ``shared`` begins alike for all images of one step, partners too: a function of (seed, step); ``labels``
    are those of the data set.
    """

    random: np.random.Generator
    progress: float
    fill_value: tuple[float, ...]
    target_class: int | None
    partner: Callable[[int], tuple[Sample, AugmentationContext]]
    shared: np.random.Generator
    labels: LabelSpace


@dataclass(frozen=True, slots=True)
class PredictedSegment:
    """A segment of a predicted panoptic map: its id there, class, number of pixels, and how sure (0..1).

    The score of stuff is NaN where nothing was asked of it.
    """

    id: int
    class_index: int
    area: int
    score: float


@dataclass(frozen=True, slots=True)
class CenterMaps:
    """What the objects of a prediction were made of, in the size of the image.

    ``centers``: (y, x) of those found, int64 [K, 2], row-major. ``heat``: the heat map of centers. ``offset``: (y, x)
    to the own center in pixels.
    """

    centers: NDArray[np.int64]
    heat: Float[np.ndarray, "height width"]
    offset: Float[np.ndarray, "2 height width"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a decoder says of one image, in class indices and in the size of the image.

    ``panoptic``: class * divisor + instance, instances from 1 and stuff 0; -1 where it says nothing.
    ``foreground`` [H, W]: where a model with that head sees things; ``semantic`` names none elsewhere. ``binary_masks``
    [channels, H, W]: what each channel of a sigmoid head says by itself.
    """

    semantic: NDArray[Any]
    panoptic: NDArray[np.int32] | None = None
    segments: tuple[PredictedSegment, ...] = ()
    foreground: NDArray[np.bool_] | None = None
    binary_masks: NDArray[np.bool_] | None = None
    center_maps: CenterMaps | None = None


@runtime_checkable
class DataConfig(Protocol):
    """A description of a data set."""

    def open(self, root: Path | None, split: str) -> Dataset:
        """The split as downloaded under ``root``; ``UserError`` names what is missing."""


@dataclass(slots=True)
class Scores:
    """Results of an evaluation, all fractions 0..1; what does not occur is NaN (null in JSON)."""

    miou: float
    pixel_accuracy: float
    class_accuracy: float
    frequency_weighted_iou: float
    class_iou: dict[str, float] = field(default_factory=dict)
