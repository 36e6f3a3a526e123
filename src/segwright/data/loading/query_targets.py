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
from segwright.samples import Sample, index_of


@dataclass(slots=True)
class QueryTargets:
    """The true masks of each image: one per class, per segment, or per object.

    ``masks`` "classes" is for semantic segmentation, "segments" for panoptic, "objects" for instance segmentation:
    stuff then belongs to no mask. Crowds have no mask, and their pixels have no ground truth. Objects of annotations
    that overlap keep the pixels that others cover.
    """

    masks: Literal["classes", "segments", "objects"] = "segments"

    def __call__(self, samples: Sequence[Sample], size: tuple[int, int], labels: LabelSpace) -> Targets:
        """Class indices uint8 (int32) [N, H, W] and ``MaskTargets``; ``UserError`` for samples without segments."""
        semantic = np.full((len(samples), *size), labels.ignore_index, dtype=labels.dtype)
        index = np.full((len(samples), *size), VOID_MASK, dtype=np.int32)
        classes, overlaps = [], []
        for number, sample in enumerate(samples):
            height, width = sample.map.shape
            semantic[number, :height, :width] = own = sample.semantic()
            if self.masks == "classes":
                positions, present = _by_class(own, labels.ignore_index)
                regions = np.zeros((0, len(present)), dtype=bool)
            else:
                positions, present, regions = self._by_segment(sample, labels)
            index[number, :height, :width] = positions
            classes.append(torch.from_numpy(present))
            overlaps.append(torch.from_numpy(regions))
        some = any(len(regions) for regions in overlaps)
        masks = MaskTargets(torch.from_numpy(index), tuple(classes), tuple(overlaps) if some else ())
        return Targets(torch.from_numpy(semantic), masks=masks, ignore_index=labels.ignore_index)

    @property
    def overlaps(self) -> bool:
        """Whether the masks of objects may overlap, so that training samples should keep their overlaps."""
        return self.masks != "classes"

    def _by_segment(
        self, sample: Sample, labels: LabelSpace
    ) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.bool_]]:
        """The index of each pixel, the classes of the masks, and the masks of each region, as in ``MaskTargets``."""
        if sample.segments is None:
            raise UserError(
                f"{sample.name}: a class map without segments; expected a map of segment ids; train it with "
                'QueryTargets(masks="classes"), or choose panoptic or instance ground truth in the recipe\'s data'
            )
        things = labels.thing_table()
        segments = [s for s in sample.segments if not s.crowd]
        position = index_of(sample.map, [s.id for s in segments])
        pixels = np.bincount(position[position >= 0], minlength=len(segments))
        visible = [s for s, count in zip(segments, pixels.tolist(), strict=True) if count]
        objects = {i: k for s in visible for i, k in s.objects or ((s.id, s.class_index),)}
        wanted = sorted(i for i, k in objects.items() if self.masks == "segments" or things[k])
        number = {identity: position for position, identity in enumerate(wanted)}
        table = np.full(len(segments) + 1, VOID_MASK, dtype=np.int32)  # the last entry is for position -1
        regions: list[NDArray[np.bool_]] = []
        for row, segment in enumerate(segments):
            members = [number[i] for i, _ in segment.objects if i in number]
            table[row] = number.get(segment.id, NO_MASK)
            if members:
                table[row] = len(wanted) + len(regions)
                regions.append(np.isin(np.arange(len(wanted)), members))
        classes = np.array([objects[i] for i in wanted], dtype=np.int64)
        return table[position], classes, np.array(regions, dtype=bool).reshape(len(regions), len(wanted))


def _by_class(
    semantic: NDArray[Any], ignored: int
) -> tuple[Int32[np.ndarray, "height width"], Int64[np.ndarray, " masks"]]:
    """The position of the class of each pixel among the classes that occur, and these classes."""
    present = np.flatnonzero(np.bincount(semantic.reshape(-1), minlength=ignored + 1)[:ignored])
    table = np.full(ignored + 1, VOID_MASK, dtype=np.int32)
    table[present] = np.arange(len(present))
    return table[semantic], present.astype(np.int64)
