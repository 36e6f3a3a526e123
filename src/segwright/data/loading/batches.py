"""Batches: samples drawn from the endless order, augmented in worker processes, stacked as uint8."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from segwright.contracts import Batch, InputContract
from segwright.data.loading.targets import TargetGenerator
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import Sample


@dataclass(slots=True)
class Collate:
    """Makes a batch of samples, padded to one size that the model accepts."""

    targets: TargetGenerator
    input: InputContract
    labels: LabelSpace

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Images [N, C, H, W] as they were read, in channels-last memory; the padding is the contract's."""
        sizes = tuple((s.image.shape[0], s.image.shape[1]) for s in samples)
        multiple = self.input.multiple
        height, width = (-(-max(side) // multiple) * multiple for side in zip(*sizes, strict=True))
        first = samples[0].image
        images = np.empty((len(samples), height, width, first.shape[2]), dtype=first.dtype)
        for image, sample, (h, w) in zip(images, samples, sizes, strict=True):
            if (h, w) != (height, width):
                image[:] = np.asarray(self.input.fill_value).round().astype(first.dtype)
            image[:h, :w] = sample.image
        return Batch(
            torch.from_numpy(images).permute(0, 3, 1, 2),
            sizes,
            self.targets(samples, (height, width), self.labels),
            tuple(s.name for s in samples),
        )


@runtime_checkable
class Indexable(Protocol):
    """Anything that gives a sample, or what is made of one, by number."""

    def __getitem__(self, index: int) -> Any:
        """The one at ``index``."""


def batches(
    draws: Indexable,
    positions: Iterable[list[int]],
    stack: Callable[[Sequence[Sample]], Any],
    *,
    workers: int = 0,
    pin: bool = False,
) -> Iterator[Any]:
    """What ``stack`` makes of the samples at ``positions``, in order; ``workers`` processes make it ahead."""
    loader: DataLoader[Any] = DataLoader(
        cast(Any, draws),
        batch_sampler=cast(Any, positions),  # lazily: a list of all steps would be large
        collate_fn=stack,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=_start_worker,
        # A forked worker starts at once and sees classes from the user's own files; elsewhere take the default.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
    )
    return _in_one_line(iter(loader))


def _in_one_line(batches: Iterator[Any]) -> Iterator[Any]:
    """The batches; a file that cannot be used is told as where it was read, without the traceback of a worker."""
    try:
        yield from batches
    except UserError as error:
        text = str(error.args[0])
        if text.startswith("Caught"):
            text = text.rpartition("UserError: ")[2].strip()
        raise UserError(text) from None


def default_workers(device: torch.device, processes: int = 1) -> int:
    """Worker processes that help on this machine: a CPU that trains has one core to spare at the most."""
    cores = os.cpu_count() or 1
    if device.type == "cpu":
        return 1 if cores > 1 else 0
    return max(1, min(16, cores // processes - 1))


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)  # workers are the parallelism; threads inside them only fight over cores
