"""Everything that flows from a file to a score, in the order in which it flows.

A data set gives a ``Sample``; the loader makes a ``Batch``; a model turns its images into an output of its
kind (``PixelOutput`` or ``CenterOutput``); a decoder turns an output into one ``Prediction`` per image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8, UInt16
from numpy.typing import NDArray
from torch import Tensor, nn

from segwright.labels import LabelSpace

IGNORED = 255
"""The value of a semantic map where there is no truth: no loss, no score."""


class UserError(ValueError):
    """Wrong use or wrong data: one line with what was found, where, what was expected, what to do."""


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
        order = np.argsort(ids)
        places = np.clip(np.searchsorted(ids, self.map, sorter=order), 0, len(ids) - 1)
        found = order[places]
        return np.where(ids[found] == self.map, classes[found], np.uint8(IGNORED))


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
    for all images of one step; ``padding`` is the value where a view leaves the image; ``focus`` is a class
    that the view should show; ``partner(k)`` is the k-th other sample to mix with, and its own draw;
    ``shared`` begins alike for all images of one step, partners too: a function of (seed, step); ``labels``
    are those of the data set.
    """

    random: np.random.Generator
    progress: float
    padding: tuple[float, ...]
    focus: int | None
    partner: Callable[[int], tuple[Sample, AugmentationContext]]
    shared: np.random.Generator
    labels: LabelSpace


@dataclass(frozen=True, slots=True)
class CenterTargets:
    """What the losses of a ``CenterOutput`` compare with beside classes.

    ``center``: the heat map of object centers, 0..1. ``offset``: (y, x) from a pixel to the center of its object,
    in pixels. The weights say how much a pixel counts in each term: float32, or uint8 where they are whole.
    ``foreground``: 1 on things, 0 on stuff and void, 255 beyond the image.
    """

    center: Float[Tensor, "images 1 height width"]
    offset: Float[Tensor, "images 2 height width"]
    semantic_weight: Float[Tensor, "images height width"] | UInt8[Tensor, "images height width"]
    center_weight: Float[Tensor, "images height width"] | UInt8[Tensor, "images height width"]
    offset_weight: Float[Tensor, "images height width"] | UInt8[Tensor, "images height width"]
    foreground: UInt8[Tensor, "images height width"]

    def pin_memory(self) -> CenterTargets:
        """The same in page-locked memory."""
        return CenterTargets(*(getattr(self, name).pin_memory() for name in self.__slots__))

    def to(self, device: torch.device) -> CenterTargets:
        """The same on a device, weights as float32: small until they are there."""

        def move(values: Tensor) -> Tensor:
            return values.to(device, non_blocking=True)

        return CenterTargets(
            move(self.center),
            move(self.offset),
            move(self.semantic_weight).float(),
            move(self.center_weight).float(),
            move(self.offset_weight).float(),
            move(self.foreground),
        )


@dataclass(frozen=True, slots=True)
class Targets:
    """What a loss compares with; ``semantic`` holds class indices, 255 = ignored."""

    semantic: Int[Tensor, "images height width"] | UInt8[Tensor, "images height width"]
    centers: CenterTargets | None = None

    def pin_memory(self) -> Targets:
        """The same in page-locked memory, from which a GPU copies without waiting."""
        return Targets(self.semantic.pin_memory(), self.centers and self.centers.pin_memory())

    def to(self, device: torch.device) -> Targets:
        """The same on a device, as int64: small until it is there."""
        centers = self.centers and self.centers.to(device)
        return Targets(self.semantic.to(device, non_blocking=True).long(), centers)


@dataclass(frozen=True, slots=True)
class Batch:
    """Images of one step (or one micro-step). What lies outside ``sizes`` (height, width) is padding."""

    images: (
        UInt8[Tensor, "images channels height width"]
        | UInt16[Tensor, "images channels height width"]
        | Float[Tensor, "images channels height width"]
    )
    sizes: tuple[tuple[int, int], ...]
    targets: Targets
    names: tuple[str, ...]

    def pin_memory(self) -> Batch:
        """The same in page-locked memory."""
        return Batch(self.images.pin_memory(), self.sizes, self.targets.pin_memory(), self.names)

    def to(self, device: torch.device) -> Batch:
        """The same on a device; from page-locked memory without waiting."""
        images = self.images.to(device, non_blocking=True)
        return Batch(images, self.sizes, self.targets.to(device), self.names)


@dataclass(frozen=True, slots=True)
class InputContract:
    """What a model wants to be fed; the model owns it and it travels with the weights.

    ``mean`` and ``std`` are in units of the values as read (0..``scale`` for integers); ``padding`` is the
    value, in the same units, that stands where there is no image; sides are padded to ``multiple``. With ``knee``
    above 0 a value v counts as log(1 + v / knee), and mean and std are of these: for images whose exposures differ by
    powers of two, where the dark ones hold their objects in a few gray levels.
    """

    channels: Literal["RGB", "BGR", "bands"] = "RGB"
    scale: float = 255.0
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    padding: tuple[float, ...] = (123.675, 116.28, 103.53)
    multiple: int = 32
    knee: float = 0.0

    def normalize(self, images: Tensor) -> Float[Tensor, "images channels height width"]:
        """(values - mean) / std as float32 [N, C, H, W], on the device of the images; RGB turns BGR if due."""
        values = images.to(torch.float32, copy=True)
        if self.channels == "BGR":
            values = values.flip(1)
        if self.knee:
            values.div_(self.knee).log1p_()
        mean, std = values.new_tensor(self.mean), values.new_tensor(self.std)
        pixels = values.permute(0, 2, 3, 1)
        if pixels.is_contiguous():
            # As long rows: broadcasting over three channels next to each other is five times slower.
            rows = pixels.view(-1, pixels.shape[2] * pixels.shape[3])
            rows.sub_(mean.repeat(pixels.shape[2])).div_(std.repeat(pixels.shape[2]))
            return values
        return values.sub_(mean.view(1, -1, 1, 1)).div_(std.view(1, -1, 1, 1))


@dataclass(frozen=True, slots=True)
class PixelOutput:
    """A class score per pixel, at the model's own stride, before softmax; ``auxiliary`` heads for training."""

    logits: Float[Tensor, "images classes height width"]
    auxiliary: tuple[Tensor, ...] = ()


@dataclass(frozen=True, slots=True)
class CenterOutput:
    """Class scores, heat map of object centers and offsets (y, x) to the own center, at the model's own stride.

    Offsets count pixels of this map: whoever enlarges it multiplies them. ``foreground``: one score a pixel,
    [N, 1, H, W], positive where it sees a thing.
    """

    semantic: Float[Tensor, "images classes height width"]
    center: Float[Tensor, "images 1 height width"]
    offset: Float[Tensor, "images 2 height width"]
    foreground: Tensor | None = None


Output = PixelOutput | CenterOutput


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
    ``foreground`` [H, W]: where a model with that head sees things; ``semantic`` names none elsewhere. ``answers``
    [channels, H, W]: what each channel of a sigmoid head says by itself.
    """

    semantic: NDArray[Any]
    panoptic: NDArray[np.int32] | None = None
    segments: tuple[PredictedSegment, ...] = ()
    foreground: NDArray[np.bool_] | None = None
    answers: NDArray[np.bool_] | None = None
    evidence: CenterMaps | None = None


@runtime_checkable
class ModelConfig(Protocol):
    """A description of a network. The module built carries ``labels`` and ``contract`` and returns an output."""

    def build(self, labels: LabelSpace, contract: InputContract) -> nn.Module:
        """The module, with random weights unless the description names others."""


@runtime_checkable
class DataConfig(Protocol):
    """A description of a data set."""

    def open(self, root: Path | None, split: str) -> Dataset:
        """The split as downloaded under ``root``; ``UserError`` names what is missing."""


@runtime_checkable
class Loss(Protocol):
    """Named sums over pixels, and the counts that turn them into means over all processes and micro-steps."""

    def __call__(self, output: Any, targets: Targets) -> dict[str, Tensor]:
        """Weighted sums of the loss, one a term."""

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The denominator of each term, from the targets alone."""


@runtime_checkable
class Decoder(Protocol):
    """Turns an output into predictions."""

    def __call__(
        self, output: Any, sizes: tuple[tuple[int, int], ...], padded: tuple[int, int], labels: LabelSpace
    ) -> list[Prediction]:
        """One prediction an image: ``sizes`` of the images inside inputs of size ``padded``; the model's labels."""


@dataclass(slots=True)
class Scores:
    """Results of an evaluation, all fractions 0..1; what does not occur is NaN (null in JSON)."""

    miou: float
    pixel_accuracy: float
    class_accuracy: float
    frequency_weighted_iou: float
    class_iou: dict[str, float] = field(default_factory=dict)
