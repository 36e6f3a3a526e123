"""Batches for training and inference: samples are read and augmented in worker processes, padded, and stacked."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from segwright.contracts import Batch, InputContract
from segwright.data.loading.targets import TargetGenerator
from segwright.errors import UserError, is_out_of_memory
from segwright.labels import LabelSpace
from segwright.parallel import Portable, available_cores, ignore_signals, signals_blocked, start_method
from segwright.samples import Sample

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)
Collated = TypeVar("Collated")


@dataclass(slots=True)
class Collate:
    """Makes a training batch of samples: images padded to one size that the model accepts, and targets of that size."""

    targets: TargetGenerator
    input: InputContract
    labels: LabelSpace

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """The batch, with images as ``stack_images`` returns them; the targets ignore the padding."""
        images, sizes = stack_images(samples, self.input)
        height, width = images.shape[2:]
        targets = self.targets(samples, (height, width), self.labels)
        return Batch(images, sizes, targets, tuple(sample.name for sample in samples))


def stack_images(
    samples: Sequence[Sample], input: InputContract
) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
    """The images of samples as one tensor, and their sizes (height, width), see ``pad_and_stack``; no targets are made.

    ``UserError`` for images of different depths.
    """
    first = samples[0]
    for sample in samples:
        if sample.image.dtype != first.image.dtype:
            raise UserError(
                f"{sample.name}: an image of {sample.image.dtype}, {first.name} is one of {first.image.dtype}; "
                "expected one depth; convert the others"
            )
    return pad_and_stack([sample.image for sample in samples], input)


def pad_and_stack(
    images: Sequence[NDArray[Any]], input: InputContract
) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
    """Images [H, W, C] of one dtype as one tensor [N, C, H, W] of the same values, and their sizes (height, width).

    All are padded on the right and at the bottom with ``input.fill_value`` to the largest height and width, rounded up
    to a multiple of ``input.multiple``; in integer images it is rounded. The memory format is channels-last.
    """
    sizes = tuple((image.shape[0], image.shape[1]) for image in images)
    height, width = input.padded_size([max(lengths) for lengths in zip(*sizes, strict=True)])
    first = images[0]
    stacked = np.empty((len(images), height, width, first.shape[2]), dtype=first.dtype)
    fill_value = np.asarray(input.fill_value)
    fill_value = (fill_value.round() if np.issubdtype(first.dtype, np.integer) else fill_value).astype(
        first.dtype
    )
    for target, image, (h, w) in zip(stacked, images, sizes, strict=True):
        if (h, w) != (height, width):
            target[:] = fill_value
        target[:h, :w] = image
    return torch.from_numpy(stacked).permute(0, 3, 1, 2), sizes


@runtime_checkable
class Indexable(Protocol[Item_co]):
    """Anything that returns an item by its index: a ``Dataset``, an ``AugmentedDataset``, a list."""

    def __getitem__(self, index: int, /) -> Item_co:
        """The item at ``index``."""


def load_batches(
    dataset: Indexable[Item],
    positions: Iterable[list[int]],
    collate: Callable[[Sequence[Item]], Collated],
    *,
    workers: int = 0,
    pin: bool = False,
) -> Iterator[Collated]:
    """``collate([dataset[p] for p in group])`` for each group of ``positions``, in their order.

    ``workers`` processes prepare batches in advance (0: the calling process makes them). ``pin`` puts them into
    page-locked memory for the GPU. A ``UserError`` or an error about memory that is raised in a worker reaches the
    caller with its own message.
    """
    loader = DataLoader(
        _BatchReader(Portable((dataset, collate))),
        sampler=positions,  # read lazily: a list of all steps would be large
        batch_size=None,  # an item of the reader is a batch already
        collate_fn=_unchanged,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=_start_worker,
        multiprocessing_context=start_method() if workers else None,
    )
    with signals_blocked():
        batches = iter(loader)
    _LOADERS.add(batches)
    return _raise_errors(batches)


_LOADERS: weakref.WeakSet[Any] = weakref.WeakSet()


def _raise_errors(batches: Iterator[Collated | Exception]) -> Iterator[Collated]:
    try:
        for batch in batches:
            if isinstance(batch, Exception):
                raise batch
            yield batch
    except ConnectionError as error:  # it died while it handed a batch over
        raise RuntimeError(f"DataLoader worker exited unexpectedly: {error}") from error
    finally:
        _stop_workers(batches)


def _stop_workers(batches: Any) -> None:
    if hasattr(batches, "_shutdown_workers"):  # there are worker processes
        batches._shutdown_workers()


@atexit.register
def _stop_all_workers() -> None:
    """At the end of the program: workers ignore signals, so Python would wait for them forever."""
    for batches in list(_LOADERS):
        _stop_workers(batches)


@dataclass(frozen=True)
class _BatchReader(Dataset[Collated | Exception], Generic[Item, Collated]):
    """Reads one batch at a time; runs in a worker process."""

    parts: Portable[tuple[Indexable[Item], Callable[[Sequence[Item]], Collated]]]

    def __getitem__(self, positions: list[int]) -> Collated | Exception:
        dataset, collate = self.parts.value
        # Returned, not raised: torch would wrap an exception of a worker in another one with a traceback as its text.
        try:
            return collate([dataset[position] for position in positions])
        except Exception as error:
            if isinstance(error, UserError) or is_out_of_memory(error):
                return error
            raise


def _unchanged(batch: Item) -> Item:
    return batch


def default_workers(device: torch.device, processes: int = 1) -> int:
    """Number of worker processes that helps: on CPU at most 1, which takes cores from the training.

    ``processes``: the training processes that share the cores of this machine.
    """
    cores = available_cores()
    if device.type == "cpu":
        return 1 if cores > 1 else 0
    return max(1, min(16, cores // processes - 1))


def _start_worker(_: int) -> None:
    # One thread each: the workers are the parallelism, and threads inside them would compete for the same cores.
    torch.set_num_threads(1)
    ignore_signals()
    cv2.setNumThreads(0)
