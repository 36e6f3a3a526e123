"""Running a model on a stream of images: those of one padded size go through the network in batches."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import chain, islice
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segwright.contracts import InputContract, Model, Output
from segwright.data.loading.batches import pad_and_stack
from segwright.errors import memory_errors
from segwright.inference.single_pass import InferenceMode, SinglePass, Size
from segwright.parallel import map_in_threads

Item = TypeVar("Item")

GPU_BATCH = 8
"""The default batch size on a GPU, for images up to ``GPU_PIXELS``; on a CPU batches are no faster."""
GPU_PIXELS = 1 << 21
"""A GPU is busy with so many pixels, so by default a batch has no more, unless it is a single image."""
CPU_IMAGES = 4
"""How many images a CPU computes side by side at most; more of them would take much memory."""
CPU_PIXELS = 1 << 19
"""Larger images than this are computed one at a time on a CPU."""
LOOK_AHEAD = 4
"""How many batches of images are read at most while an image waits for others of its size."""

DECODING_THREADS = 2
"""How many outputs are decoded at a time; while they wait, outputs fill the memory of the device."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelInput(Generic[Item]):
    """An image as a model takes it: [1, C, H, W], padded, with its ``size`` (height, width); ``item`` is the caller's.

    An image that could not be read has an ``error`` in place of pixels.
    """

    item: Item
    image: Tensor | None
    size: Size = (0, 0)
    error: Exception | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ModelOutput(Generic[Item]):
    """The output of a model for one image (N = 1), or the ``error`` that there was.

    ``padded`` is the (height, width) of the input that the maps of the output cover.
    """

    item: Item
    output: Output | None
    size: Size = (0, 0)
    padded: Size = (0, 0)
    error: Exception | None = None


def model_input(
    item: Item, image: NDArray[Any], input: InputContract, *, pin: bool = False
) -> ModelInput[Item]:
    """The input of an image [H, W, C]; ``pin``: in page-locked memory, from which a GPU can copy asynchronously."""
    images, (size,) = pad_and_stack([np.asarray(image)], input)
    return ModelInput(item, images.pin_memory() if pin else images, size)


def run_batches(
    model: Model,
    inputs: Iterable[ModelInput[Item]],
    *,
    device: torch.device,
    inference: InferenceMode,
    batch: int | None = None,
    autocast: AbstractContextManager[Any] | None = None,
    skip: tuple[type[Exception], ...] = (),
) -> Iterator[ModelOutput[Item]]:
    """The output of the model for every image, in the order of ``inputs``.

    Up to ``batch`` images of one padded size go through the network together (default: 1 on a CPU, else ``GPU_BATCH``,
    but at most ``GPU_PIXELS``). Where sizes are mixed, an image waits for others of its size while at most
    ``LOOK_AHEAD`` times as many images are read. An exception of a type in ``skip`` becomes the ``error`` of its
    image; if it concerns a batch, the images of the batch are run one by one. Too little memory, of any device, is a
    ``MemoryError``. The model should be in evaluation mode.

    Without ``batch``, a CPU computes up to ``CPU_IMAGES`` images side by side, each with a share of its cores.
    ``autocast``: the context of mixed precision (default: that of the calling thread).
    """
    run = _Run(model, device, inference, _current_autocast(device) if autocast is None else autocast, skip)
    single = isinstance(inference, SinglePass) and isinstance(run.autocast, torch.autocast | nullcontext)
    if batch is None and device.type == "cpu" and model.thread_safe and single:
        yield from _side_by_side(run, inputs)
        return
    ready: dict[int, ModelOutput[Item]] = {}
    position = 0
    for group in _batches(inputs, _BatchLimit(device, batch)):
        outputs = run([image for _, image in group])
        ready.update((number, output) for (number, _), output in zip(group, outputs, strict=True))
        del group, outputs
        while position in ready:
            yield ready.pop(position)
            position += 1


def _side_by_side(run: _Run, inputs: Iterable[ModelInput[Item]]) -> Iterator[ModelOutput[Item]]:
    """The outputs of single images, in order.

    The threads of one operation wait for each other, and each of them for other work on its core. Threads with an image
    each do not. A single image, and images that need much memory, get all cores.
    """
    cores = torch.get_num_threads()
    count, remaining, large = _images_at_a_time(cores), iter(inputs), threading.Lock()
    first = [*islice(remaining, count)]
    if count == 1 or len(first) < count or any(_is_large(image) for image in first):
        for image in chain(first, remaining):
            yield from run([image])
        return

    def compute(image: ModelInput[Item]) -> ModelOutput[Item]:
        with large if _is_large(image) else nullcontext():
            return run([image])[0]

    with keep_threads():
        start = partial(torch.set_num_threads, cores // count)
        yield from map_in_threads(compute, chain(first, remaining), threads=count, start=start)


def _current_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """The mixed precision of this thread as a context, for other threads, which do not inherit it."""
    if device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return nullcontext()
    return torch.autocast("cpu", torch.get_autocast_dtype("cpu"))


def _images_at_a_time(cores: int) -> int:
    """The number of equal shares, at most ``CPU_IMAGES``, that use the most cores: 4 of 4 or 8 cores, 3 of 6 cores."""
    counts = range(2, min(CPU_IMAGES, cores) + 1)
    return max(counts, key=lambda count: (cores // count * count, count), default=1)


def _is_large(image: ModelInput[Any]) -> bool:
    return image.image is not None and image.image.shape[2] * image.image.shape[3] > CPU_PIXELS


@dataclass(frozen=True, slots=True)
class _BatchLimit:
    """How many images go into a batch."""

    device: torch.device
    batch: int | None

    def images(self) -> int:
        """The largest number, of whatever size."""
        return self.batch or (1 if self.device.type == "cpu" else GPU_BATCH)

    def images_like(self, image: Tensor) -> int:
        """The number for images of this size."""
        if self.batch:
            return self.batch
        return min(self.images(), max(1, GPU_PIXELS // (image.shape[2] * image.shape[3])))


_Numbered = list[tuple[int, ModelInput[Item]]]


def _batches(inputs: Iterable[ModelInput[Item]], limit: _BatchLimit) -> Iterator[_Numbered[Item]]:
    """Batches of numbered images of one padded size and type. An image without pixels is a batch of its own."""
    waiting: dict[Any, _Numbered[Item]] = {}  # in the order of their first images
    for number, image in enumerate(inputs):
        if image.image is None:
            yield [(number, image)]
        else:
            key = (image.image.shape, image.image.dtype)
            waiting.setdefault(key, []).append((number, image))
            if len(waiting[key]) == limit.images_like(image.image):
                yield waiting.pop(key)
        if waiting and number - next(iter(waiting.values()))[0][0] >= LOOK_AHEAD * limit.images():
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


@dataclass(frozen=True, slots=True)
class _Run:
    """Runs the model on a batch."""

    model: Model
    device: torch.device
    inference: InferenceMode
    autocast: AbstractContextManager[Any]
    skip: tuple[type[Exception], ...]

    def __call__(self, group: Sequence[ModelInput[Item]]) -> list[ModelOutput[Item]]:
        """The output of each image; if the batch fails, those of its images one by one."""
        if group[0].image is None:
            return [ModelOutput(group[0].item, None, error=group[0].error)]
        try:
            output, padded = self._output(group)
        except self.skip as error:
            if len(group) == 1:
                return [ModelOutput(group[0].item, None, error=error)]
        else:
            return [
                ModelOutput(image.item, output_of_image(output, index), image.size, padded)
                for index, image in enumerate(group)
            ]
        return [output for image in group for output in self([image])]

    def _output(self, group: Sequence[ModelInput[Item]]) -> tuple[Output, Size]:
        # A context remembers the state before it, so each thread needs its own.
        autocast = copy.copy(self.autocast) if isinstance(self.autocast, torch.autocast) else self.autocast
        with memory_errors(), torch.inference_mode(), autocast:
            images = [
                image.image.to(self.device, non_blocking=True) for image in group if image.image is not None
            ]
            stacked = images[0] if len(images) == 1 else torch.cat(images)
            return self.inference(self.model, stacked, tuple(image.size for image in group))


def output_of_image(output: Output, index: int) -> Output:
    """The output of one image of a batch, N = 1."""
    changes = {field.name: _part(getattr(output, field.name), index) for field in fields(output)}
    return replace(output, **changes)


def _part(value: Any, index: int) -> Any:
    if isinstance(value, Tensor):
        return value[index : index + 1]
    return tuple(_part(each, index) for each in value) if isinstance(value, tuple) else value


@contextmanager
def evaluation_mode(model: Model) -> Iterator[None]:
    """The model is in evaluation mode; afterwards it is in the mode that it was in."""
    was_training = model.training
    if was_training:
        model.eval()
    try:
        yield
    finally:
        if was_training:
            model.train()


def compute_in_one_thread() -> None:
    """Let torch use one core in the present thread, which is one of several; see ``keep_threads``."""
    torch.set_num_threads(1)


@contextmanager
def keep_threads() -> Iterator[None]:
    """After the block torch uses as many cores in new threads as before, whatever ``compute_in_one_thread`` has set."""
    count = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(count)


def device_of(model: Model) -> torch.device:
    """The device of the model's parameters; the CPU if it has none."""
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
