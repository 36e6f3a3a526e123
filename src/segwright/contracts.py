"""The data types that flow through training as tensors, in order: batch, model output, loss, prediction.

A dataset returns a ``Sample`` (see ``samples``). The loader collates samples into a ``Batch``. A model turns the images
of a batch into an output: ``PixelOutput``, ``CenterOutput`` or ``QueryOutput``. A loss compares the output with the
targets of the batch. A decoder turns the output into one ``Prediction`` per image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, UInt8, UInt16
from torch import Tensor, nn

from segwright.labels import IGNORED, LabelSpace
from segwright.samples import Prediction


@dataclass(frozen=True, slots=True)
class CenterTargets:
    """Training targets of a ``CenterOutput``, in addition to the class map.

    ``center``: the heat map of object centers, 0..1. ``offset``: (y, x) from each pixel to the center of its object,
    in pixels. The weights scale each pixel's contribution to a loss term; they are uint8 if all of them are integers,
    else float32. ``foreground``: 1 on things, 0 on stuff and void, 255 on padding.
    """

    center: Float[Tensor, "images 1 height width"]
    offset: Float[Tensor, "images 2 height width"]
    semantic_weight: Float[Tensor, "images height width"] | UInt8[Tensor, "images height width"]
    center_weight: Float[Tensor, "images height width"] | UInt8[Tensor, "images height width"]
    offset_weight: Float[Tensor, "images height width"] | UInt8[Tensor, "images height width"]
    foreground: UInt8[Tensor, "images height width"]

    def pin_memory(self) -> CenterTargets:
        """A copy in page-locked (pinned) memory."""
        return CenterTargets(*(getattr(self, name).pin_memory() for name in self.__slots__))

    def to(self, device: torch.device) -> CenterTargets:
        """A copy on a device. Weights become float32 after the transfer, because uint8 is cheaper to transfer."""

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
class MaskTargets:
    """Training targets of a ``QueryOutput``: the true masks of each image, as one integer map.

    ``index``: the position of the mask that each pixel belongs to among the masks of its image; ``NO_MASK`` (-1) where
    there is none, ``VOID_MASK`` (-2) where there is no ground truth. ``classes``: per image, the class of each mask.

    ``overlaps``, bool [regions, masks] per image: with M masks the index M + k stands for region k, which belongs to
    several masks. Empty if no masks overlap.
    """

    index: Int[Tensor, "images height width"]
    classes: tuple[Int[Tensor, _], ...]
    overlaps: tuple[Bool[Tensor, "_ _"], ...] = ()

    def pin_memory(self) -> MaskTargets:
        """A copy in page-locked (pinned) memory."""
        classes, overlaps = (
            tuple(one.pin_memory() for one in each) for each in (self.classes, self.overlaps)
        )
        return MaskTargets(self.index.pin_memory(), classes, overlaps)

    def to(self, device: torch.device) -> MaskTargets:
        """A copy on a device."""
        classes, overlaps = (
            tuple(one.to(device, non_blocking=True) for one in each) for each in (self.classes, self.overlaps)
        )
        return MaskTargets(self.index.to(device, non_blocking=True), classes, overlaps)


NO_MASK, VOID_MASK = -1, -2


@dataclass(frozen=True, slots=True)
class Targets:
    """The ground truth of a batch: ``semantic`` holds class indices.

    ``ignore_index``: the value of ignored pixels, ``LabelSpace.ignore_index``: 65535 for more than 255 classes.
    """

    semantic: Int[Tensor, "images height width"] | UInt8[Tensor, "images height width"]
    centers: CenterTargets | None = None
    masks: MaskTargets | None = None
    ignore_index: int = IGNORED

    def pin_memory(self) -> Targets:
        """A copy in page-locked (pinned) memory, from which a GPU can copy asynchronously."""
        centers, masks = self.centers and self.centers.pin_memory(), self.masks and self.masks.pin_memory()
        return Targets(self.semantic.pin_memory(), centers, masks, self.ignore_index)

    def to(self, device: torch.device) -> Targets:
        """A copy on a device. Class indices become int64 after the transfer, because uint8 is cheaper to transfer."""
        centers, masks = self.centers and self.centers.to(device), self.masks and self.masks.to(device)
        semantic = self.semantic.to(device, non_blocking=True).long()
        return Targets(semantic, centers, masks, self.ignore_index)


@dataclass(frozen=True, slots=True)
class Batch:
    """Images and targets of one step, or of one micro-batch (part of a step in gradient accumulation).

    ``sizes``: the (height, width) of each image; pixels to the right of it and below it are padding.
    """

    images: (
        UInt8[Tensor, "images channels height width"]
        | UInt16[Tensor, "images channels height width"]
        | Float[Tensor, "images channels height width"]
    )
    sizes: tuple[tuple[int, int], ...]
    targets: Targets
    names: tuple[str, ...]

    def pin_memory(self) -> Batch:
        """A copy in page-locked (pinned) memory."""
        return Batch(self.images.pin_memory(), self.sizes, self.targets.pin_memory(), self.names)

    def to(self, device: torch.device) -> Batch:
        """A copy on a device; the transfer is asynchronous if the memory is page-locked."""
        images = self.images.to(device, non_blocking=True)
        return Batch(images, self.sizes, self.targets.to(device), self.names)


@dataclass(frozen=True, slots=True)
class InputContract:
    """The preprocessing that a model expects. It belongs to the model and is saved with the weights.

    ``channels``: channel order. ``mean`` and ``std``: per channel, in units of the image files (0..255 for 8 bits).
    ``fill_value``: the padding color, in the same units. ``multiple``: height and width are padded to a multiple of it.
    ``log_scale`` above 0 replaces each value v by log(1 + v / log_scale) before mean and std are applied. This helps if
    some images are many times darker than others.
    """

    channels: Literal["RGB", "BGR", "bands"] = "RGB"
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    fill_value: tuple[float, ...] = (123.675, 116.28, 103.53)
    multiple: int = 32
    log_scale: float = 0.0

    @property
    def bands(self) -> int | None:
        """The number of bands of the images; None for 8-bit RGB images."""
        return len(self.mean) if self.channels == "bands" else None

    def padded_size(self, size: Sequence[int]) -> tuple[int, int]:
        """``size`` (height, width) rounded up to ``multiple``."""
        height, width = (-(-side // self.multiple) * self.multiple for side in size)
        return height, width

    def normalize(self, images: Tensor) -> Float[Tensor, "images channels height width"]:
        """(values - mean) / std as float32 [N, C, H, W], on the images' device. ``channels`` "BGR" reverses RGB."""
        values = images.to(torch.float32, copy=True)
        if self.channels == "BGR":
            values = values.flip(1)
        if self.log_scale:
            values.div_(self.log_scale).log1p_()
        mean, std = values.new_tensor(self.mean), values.new_tensor(self.std)
        pixels = values.permute(0, 2, 3, 1)
        if pixels.is_contiguous():
            # In long rows: broadcasting over three adjacent channels is five times slower.
            rows = pixels.view(-1, pixels.shape[2] * pixels.shape[3])
            rows.sub_(mean.repeat(pixels.shape[2])).div_(std.repeat(pixels.shape[2]))
            return values
        return values.sub_(mean.view(1, -1, 1, 1)).div_(std.view(1, -1, 1, 1))


@dataclass(frozen=True, slots=True)
class PixelOutput:
    """Class logits per pixel, at the model's output stride; ``auxiliary``: logits of auxiliary heads, for training.

    ``pass_entropy`` [N, 1, H, W], only of several fused passes: the mean of their entropies, in nats. ``of_queries``:
    the logits are the class scores that several passes of a query model were fused to, 0 or more.
    """

    logits: Float[Tensor, "images classes height width"]
    auxiliary: tuple[Tensor, ...] = ()
    pass_entropy: Tensor | None = None
    of_queries: bool = False


@dataclass(frozen=True, slots=True)
class CenterOutput:
    """Class logits, heat map of object centers, and offsets (y, x) to the center of the pixel's object.

    All maps are at the model's output stride. Offsets are in pixels of these maps, so upsampling the maps by a factor
    also multiplies the offsets by it. ``foreground``: one logit per pixel [N, 1, H, W], positive on things.
    ``pass_entropy`` is that of ``PixelOutput``.
    """

    semantic: Float[Tensor, "images classes height width"]
    center: Float[Tensor, "images 1 height width"]
    offset: Float[Tensor, "images 2 height width"]
    foreground: Tensor | None = None
    pass_entropy: Tensor | None = None


@dataclass(frozen=True, slots=True)
class QueryOutput:
    """Masks and their classes, one per query: mask logits at the model's output stride, and class logits.

    The last class logit is that of "no object". A pixel may belong to several masks. ``auxiliary``: (masks, classes)
    of earlier blocks, the first block first, for training.
    """

    masks: Float[Tensor, "images queries height width"]
    classes: Float[Tensor, "images queries logits"]
    auxiliary: tuple[tuple[Tensor, Tensor], ...] = ()


Output = PixelOutput | CenterOutput | QueryOutput
"""What a model returns.

``PixelOutput``: semantic segmentation. ``CenterOutput``: panoptic and instance segmentation by object centers.
``QueryOutput``: all three tasks.
"""


class Model(nn.Module):
    """A network with everything needed to use it: its classes, its preprocessing, and its decoder.

    ``decoder`` turns outputs into predictions; None means the default for this type of output (``decode.default``).
    ``thread_safe``: in evaluation mode several threads may compute different images at the same time; set it to False
    in a network whose ``forward`` keeps something in ``self``.
    """

    labels: LabelSpace
    input: InputContract
    decoder: Decoder | None
    thread_safe: bool = True

    def __init__(self, labels: LabelSpace, input: InputContract, decoder: Decoder | None = None) -> None:
        super().__init__()
        self.labels, self.input, self.decoder = labels, input, decoder

    def forward(self, images: Float[Tensor, "images channels height width"]) -> Output:
        """The output for images that were normalized by ``input.normalize``."""
        raise NotImplementedError

    def set_progress(self, progress: float) -> None:
        """Called before every training step with the fraction 0..1 of the training that is done.

        Networks that change over the training override it, for example to anneal masked attention.
        """

    def outputs(self, images: Float[Tensor, "images channels height width"]) -> Output:
        """``forward`` as an ``Output``, also for models that return a plain tensor of logits."""
        output = self(images)
        return PixelOutput(output) if isinstance(output, Tensor) else output


@runtime_checkable
class ModelConfig(Protocol):
    """The configuration of a network."""

    def build(self, labels: LabelSpace, input: InputContract) -> Model:
        """The network, with random weights unless the configuration names pretrained ones."""


@runtime_checkable
class Loss(Protocol):
    """Loss terms as sums over pixels, and the counts that turn the sums into means.

    The counts are added over all processes and micro-batches before the division, so the mean is exact.
    """

    def __call__(self, output: Any, targets: Targets) -> dict[str, Tensor]:
        """Each loss term by name: its sum over all pixels, times the weight of the term."""

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The denominator of each loss term, from the targets alone."""


@runtime_checkable
class Decoder(Protocol):
    """Post-processing: turns a model output into predictions."""

    def __call__(
        self, output: Any, sizes: tuple[tuple[int, int], ...], padded: tuple[int, int], labels: LabelSpace
    ) -> list[Prediction]:
        """One prediction per image. ``sizes``: (height, width) of each image; ``padded``: that of the padded input."""
