"""Everything that flows through a training as tensors, in the order in which it flows.

A dataset gives a ``Sample`` (``samples``); the loader makes a ``Batch`` of several; a model turns its images into an output
of its kind (``PixelOutput`` or ``CenterOutput``); a loss compares outputs with targets; a decoder turns an output into one
``Prediction`` per image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8, UInt16
from torch import Tensor, nn

from segwright.labels import LabelSpace
from segwright.samples import Prediction


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

    ``mean`` and ``std`` are in units of the values as read (0..``scale`` for integers); ``fill_value`` is the
    value, in the same units, that stands where there is no image; sides are padded to ``multiple``. With ``log_scale``
    above 0 a value v counts as log(1 + v / knee), and mean and std are of these: for images whose exposures differ by
    powers of two, where the dark ones hold their objects in a few gray levels.
    """

    channels: Literal["RGB", "BGR", "bands"] = "RGB"
    scale: float = 255.0
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    fill_value: tuple[float, ...] = (123.675, 116.28, 103.53)
    multiple: int = 32
    log_scale: float = 0.0

    def normalize(self, images: Tensor) -> Float[Tensor, "images channels height width"]:
        """(values - mean) / std as float32 [N, C, H, W], on the device of the images; RGB turns BGR if due."""
        values = images.to(torch.float32, copy=True)
        if self.channels == "BGR":
            values = values.flip(1)
        if self.log_scale:
            values.div_(self.log_scale).log1p_()
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


class Model(nn.Module):
    """A network that carries what is needed to use it: its classes, the input that it expects, and its decoder.

    ``decoder`` turns outputs into predictions; None: the default for the kind of output (``decode.default``).
    """

    labels: LabelSpace
    input: InputContract
    decoder: Decoder | None

    def __init__(self, labels: LabelSpace, input: InputContract, decoder: Decoder | None = None) -> None:
        super().__init__()
        self.labels, self.input, self.decoder = labels, input, decoder

    def forward(self, images: Float[Tensor, "images channels height width"]) -> Output:
        """The output for images that ``input.normalize`` made."""
        raise NotImplementedError


@runtime_checkable
class ModelConfig(Protocol):
    """A description of a network."""

    def build(self, labels: LabelSpace, input: InputContract) -> Model:
        """The network, with random weights unless the description names others."""


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
