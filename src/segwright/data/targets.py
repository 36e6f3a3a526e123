"""Targets: what losses compare with, derived from samples after augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from segwright.contracts import IGNORED, Sample, Targets


@runtime_checkable
class MakeTargets(Protocol):
    """Makes the targets of a batch from its samples."""

    def __call__(self, samples: Sequence[Sample], size: tuple[int, int]) -> Targets:
        """Targets of ``size`` (height, width), ignored beyond each sample's own size."""


@dataclass(slots=True)
class SemanticTargets:
    """The class of every pixel."""

    def __call__(self, samples: Sequence[Sample], size: tuple[int, int]) -> Targets:
        """uint8 [N, H, W]: small until it is on the device."""
        maps = np.full((len(samples), *size), IGNORED, dtype=np.uint8)
        for target, sample in zip(maps, samples, strict=True):
            classes = sample.semantic()
            target[: classes.shape[0], : classes.shape[1]] = classes
        return Targets(torch.from_numpy(maps))
