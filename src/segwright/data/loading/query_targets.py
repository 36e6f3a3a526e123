"""Targets of query models: the true masks of an image, as one integer map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int32, Int64
from numpy.typing import NDArray

from segwright.contracts import NO_MASK, VOID_MASK, MaskTargets, Targets
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import IGNORED, Sample, index_of


@dataclass(slots=True)
class QueryTargets:
    """The true masks of each image: one per class, per segment, or per object.

    ``masks`` "classes" is for semantic segmentation, "segments" for panoptic, "objects" for instance segmentation:
    stuff then belongs to no mask. Crowds have no mask, and their pixels have no ground truth.
    """

    masks: Literal["classes", "segments", "objects"] = "segments"

    def __call__(self, samples: Sequence[Sample], size: tuple[int, int], labels: LabelSpace) -> Targets:
        """Class indices uint8 [N, H, W] and ``MaskTargets``; ``UserError`` for samples without segments."""
        semantic = np.full((len(samples), *size), IGNORED, dtype=np.uint8)
        index = np.full((len(samples), *size), VOID_MASK, dtype=np.int32)
        classes = []
        for number, sample in enumerate(samples):
            height, width = sample.map.shape
            semantic[number, :height, :width] = own = sample.semantic()
            if self.masks == "classes":
                positions, present = _by_class(own)
            else:
                positions, present = self._by_segment(sample, labels)
            index[number, :height, :width] = positions
            classes.append(torch.from_numpy(present))
        masks = MaskTargets(torch.from_numpy(index), tuple(classes))
        return Targets(torch.from_numpy(semantic), masks=masks)

    def _by_segment(self, sample: Sample, labels: LabelSpace) -> tuple[NDArray[Any], NDArray[Any]]:
        if sample.segments is None:
            raise UserError(
                f"{sample.name}: a class map without segments; expected a map of segment ids; train it with "
                'QueryTargets(masks="classes"), or choose panoptic or instance ground truth in the recipe\'s data'
            )
        things = labels.thing_table()
        segments = [s for s in sample.segments if not s.crowd]
        position = index_of(sample.map, [s.id for s in segments])
        wanted = [self.masks == "segments" or bool(things[s.class_index]) for s in segments]
        pixels = np.bincount(position[position >= 0], minlength=len(segments))
        kept = np.array(wanted, dtype=bool) & (pixels > 0)
        table = np.full(len(segments) + 1, VOID_MASK, dtype=np.int32)  # the last entry is for position -1
        table[:-1] = np.where(kept, np.cumsum(kept) - 1, NO_MASK)
        classes = np.array([s.class_index for s in segments], dtype=np.int64)
        return table[position], classes[kept]


def _by_class(
    semantic: NDArray[Any],
) -> tuple[Int32[np.ndarray, "height width"], Int64[np.ndarray, " masks"]]:
    """The position of the class of each pixel among the classes that occur, and these classes."""
    present = np.flatnonzero(np.bincount(semantic.reshape(-1), minlength=IGNORED + 1)[:IGNORED])
    table = np.full(IGNORED + 1, VOID_MASK, dtype=np.int32)
    table[present] = np.arange(len(present))
    return table[semantic], present.astype(np.int64)
