"""Batches: samples drawn from the endless order, augmented in worker processes, stacked as uint8."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from segwright.contracts import Batch, Dataset, Draw, InputContract, Sample
from segwright.data.augment import Augmentation
from segwright.data.order import index_at
from segwright.data.targets import MakeTargets


@dataclass(slots=True)
class Draws:
    """The augmented sample at each position of the endless order; the same whoever asks, and whenever."""

    dataset: Dataset
    augment: Augmentation
    seed: int
    length: int  # positions in the whole training
    batch: int  # positions of one step, which share their progress

    def __getitem__(self, position: int) -> Sample:
        """Draw, read and augment."""
        count = len(self.dataset)
        step = position // self.batch

        def partner(number: int) -> Sample:
            # Far from this position in the order, so that neighbors of a batch do not mix with each other.
            other = np.random.default_rng((self.seed, position, number)).integers(count)
            return self.dataset[int(other)]

        random = np.random.default_rng((self.seed, position))
        progress = step * self.batch / self.length
        sample = self.dataset[index_at(position, count=count, seed=self.seed)]
        return self.augment(sample, Draw(random, progress, partner))


@dataclass(slots=True)
class Stack:
    """Makes a batch of samples, padded to one size that the model accepts."""

    targets: MakeTargets
    contract: InputContract

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Images [N, C, H, W] as they were read, in channels-last memory; the padding is the contract's."""
        sizes = tuple((s.image.shape[0], s.image.shape[1]) for s in samples)
        multiple = self.contract.multiple
        height, width = (-(-max(side) // multiple) * multiple for side in zip(*sizes, strict=True))
        first = samples[0].image
        images = np.empty((len(samples), height, width, first.shape[2]), dtype=first.dtype)
        for image, sample, (h, w) in zip(images, samples, sizes, strict=True):
            if (h, w) != (height, width):
                image[:] = np.asarray(self.contract.padding).round().astype(first.dtype)
            image[:h, :w] = sample.image
        return Batch(
            torch.from_numpy(images).permute(0, 3, 1, 2),
            sizes,
            self.targets(samples, (height, width)),
            tuple(s.name for s in samples),
        )


def batches(
    draws: Sequence[Sample] | Draws, positions: Iterable[list[int]], stack: Stack, *, workers: int = 0, pin: bool = False
) -> Iterator[Batch]:
    """The batches at ``positions``, in order, made ahead by ``workers`` processes (0: in this one)."""
    loader: DataLoader[Any] = DataLoader(
        cast(Any, draws),
        batch_sampler=cast(Any, list(positions)),
        collate_fn=stack,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=_start_worker,
        # A forked worker starts at once and sees classes from the user's own files; elsewhere take the default.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
    )
    return iter(loader)


def default_workers(device: torch.device, processes: int = 1) -> int:
    """Worker processes that help on this machine: a CPU that trains has one core to spare at the most."""
    cores = os.cpu_count() or 1
    if device.type == "cpu":
        return 1 if cores > 1 else 0
    return max(1, min(16, cores // processes - 1))


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)  # workers are the parallelism; threads inside them only fight over cores
