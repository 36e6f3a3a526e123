"""The data of one image, as NumPy arrays: the sample that a dataset gives, and the prediction that a decoder gives.

The later data types (batch, model output, loss) are in ``contracts``. This file does not import torch, so that
commands which only read files (scoring, checking a dataset) start fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from segwright.labels import IGNORED, LabelSpace, class_dtype


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a map of segment ids.

    ``crowd``: the segment contains several objects that the annotation does not separate. ``objects``: (id, class
    index) of the objects that overlap in this segment, the lowest first. The pixels of an object are then those of all
    segments that name its id here, and those of the segment with this id. Only training samples of query models have
    such segments (``data.formats.overlaps``).
    """

    id: int
    class_index: int
    crowd: bool = False
    objects: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """An image with its ground truth, which is exactly one integer map.

    ``image`` [H, W, C]: uint8, uint16 or float32; RGB, or the bands of a multi-band dataset. ``map`` [H, W]: class
    indices (uint8, 255 = ignored) if ``segments`` is None; otherwise the ids of these segments (int32). Id 0 is void:
    pixels without ground truth, which become 255 in ``semantic()``.

    ``ignore_index``: that of the label space, ``LabelSpace.ignore_index``. It is 65535 for more than 255 classes; class
    maps are then int32.
    """

    image: NDArray[Any]
    map: NDArray[Any]
    name: str
    segments: tuple[Segment, ...] | None = None
    ignore_index: int = IGNORED

    def semantic(self) -> NDArray[Any]:
        """The class index of every pixel, uint8 [H, W], 255 = ignored (see ``ignore_index``). Crowds are included."""
        if self.segments is None:
            return self.map
        ids = np.array([0, *(s.id for s in self.segments)], dtype=np.int64)
        classes = [self.ignore_index, *(s.class_index for s in self.segments), self.ignore_index]
        return np.array(classes, dtype=class_dtype(self.ignore_index))[index_of(self.map, ids)]


def class_pixels(sample: Sample, classes: int) -> NDArray[np.int64]:
    """The pixels of each of ``classes`` classes in a sample and, at the end, its ignored pixels, int64 [C + 1]."""
    counts = np.bincount(sample.semantic().ravel(), minlength=sample.ignore_index + 1)
    return np.append(counts[:classes], counts[sample.ignore_index])


def index_of(values: NDArray[Any], ids: Sequence[int] | NDArray[Any]) -> NDArray[np.int64]:
    """The index of each value in ``ids`` (distinct integers in any order), in the shape of ``values``; -1 if absent."""
    if not len(ids):
        return np.full(values.shape, -1, dtype=np.int64)
    known = np.asarray(ids, dtype=np.int64)
    order = np.argsort(known)
    nearest = order[np.searchsorted(known, values, sorter=order).clip(max=len(known) - 1)]
    return np.where(known[nearest] == values, nearest, -1)


@runtime_checkable
class Dataset(Protocol):
    """One split of a dataset: samples by index, and their label space."""

    @property
    def labels(self) -> LabelSpace:
        """The classes that the class indices of the samples stand for."""

    def __len__(self) -> int:
        """The number of samples."""

    def __getitem__(self, index: int) -> Sample:
        """The sample as stored, without augmentation."""

    def files(self, index: int) -> tuple[Path, ...]:
        """The files of a sample, its image first; none if the sample is generated."""


@dataclass(frozen=True, slots=True)
class AugmentationContext:
    """The second argument of an augmentation: what it needs besides the sample, and its only source of randomness.

    Training reads samples in one endless sequence; ``random`` is seeded with (seed, position in this sequence).
    ``progress``: training progress from 0 to 1, equal for all images of one step. ``fill_value``: the value of pixels
    outside of the image. ``target_class``: a class index that the crop should contain, or None. ``partner(k)`` gives
    the k-th other sample to mix with, and its own context. ``shared`` is seeded with (seed, step), so it gives the
    same numbers to all images of one step and to their partners. ``labels``: the label space of the dataset.
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
    """A segment of a predicted panoptic map: its id in the map, class index, number of pixels and score (0..1).

    The score of a stuff segment is NaN if the decoder computes none.
    """

    id: int
    class_index: int
    area: int
    score: float


@dataclass(frozen=True, slots=True)
class PredictedInstance:
    """A predicted object whose mask may overlap others: class index, mask, number of pixels and score (0..1).

    ``mask``: run-length encoded as pycocotools does, {"size": [height, width], "counts": bytes}.
    """

    class_index: int
    mask: dict[str, Any]
    area: int
    score: float


@dataclass(frozen=True, slots=True)
class CenterMaps:
    """The model outputs from which a decoder grouped pixels into instances, at the size of the image.

    ``centers``: (y, x) of the detected object centers, int64 [K, 2], in row-major order. ``heatmap``: the heat map of
    object centers. ``offset``: (y, x) from each pixel to the center of its object, in pixels.
    """

    centers: NDArray[np.int64]
    heatmap: Float[np.ndarray, "height width"]
    offset: Float[np.ndarray, "2 height width"]


@dataclass(frozen=True, slots=True)
class UncertaintyMaps:
    """How sure a model is at every pixel of an image; all values are fractions 0..1.

    ``confidence``: the probability of the predicted class, 0 where no class is predicted. ``entropy``: the entropy of
    the class probabilities, divided by its maximum, log(classes). ``disagreement``: how much several passes over the
    image differ (test-time augmentation, ensembles): the mutual information of class and pass, divided by the same
    maximum; None for a single pass.
    """

    confidence: Float[np.ndarray, "height width"]
    entropy: Float[np.ndarray, "height width"]
    disagreement: Float[np.ndarray, "height width"] | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """A decoder's prediction for one image, in the size of the image.

    ``semantic`` [H, W]: class indices, uint8, and 255 where the prediction has no class; for more than 255 classes
    int32 and 65535 (``LabelSpace.ignore_index``). ``panoptic`` [H, W]: class index *
    divisor + instance number, instances from 1 and stuff 0; -1 = void. ``segments``: those of ``panoptic``.
    ``foreground`` [H, W]: True on pixels of things; only for models with a foreground head. On all other pixels
    ``semantic`` has no thing class. ``binary_masks`` [channels, H, W]: the mask of each channel of a sigmoid head.
    ``instances``: objects whose masks may overlap, by falling score; None if the objects are those of ``panoptic``.
    ``center_maps`` and ``uncertainty``: only from decoders that were asked for them (``decode.with_center_maps``,
    ``decode.WithUncertainty``).
    """

    semantic: NDArray[Any]
    panoptic: NDArray[np.int32] | None = None
    segments: tuple[PredictedSegment, ...] = ()
    foreground: NDArray[np.bool_] | None = None
    binary_masks: NDArray[np.bool_] | None = None
    center_maps: CenterMaps | None = None
    uncertainty: UncertaintyMaps | None = None
    instances: tuple[PredictedInstance, ...] | None = None


@runtime_checkable
class DataConfig(Protocol):
    """The description of a dataset; ``open`` gives its splits."""

    def open(self, root: Path | None, split: str) -> Dataset:
        """A split of the dataset in the folder ``root``; ``UserError`` names what is missing."""


@dataclass(slots=True)
class Scores:
    """Results of a semantic evaluation, as fractions 0..1; NaN (null in JSON) for a class without pixels.

    ``class_accuracy`` is the mean of ``class_recall``. F1 is the Dice coefficient of the pixels of a class.
    """

    miou: float
    pixel_accuracy: float
    class_accuracy: float
    frequency_weighted_iou: float
    class_iou: dict[str, float] = field(default_factory=dict)
    mean_precision: float = float("nan")
    mean_f1: float = float("nan")
    class_precision: dict[str, float] = field(default_factory=dict)
    class_recall: dict[str, float] = field(default_factory=dict)
    class_f1: dict[str, float] = field(default_factory=dict)
