"""How well segments of the ground truth are found, by their size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.rle import run_starts
from segwright.samples import Prediction, Sample, index_of

AREAS = tuple(4**k for k in range(2, 10))
"""Upper bounds, in pixels, of the bins of segment areas: 16, 64, 256, ...; a last bin has no bound."""

FOUND_IOU = 0.5

SEGMENTS, FOUND, IOU, CORRECT, PIXELS = range(5)


@dataclass(frozen=True, slots=True, eq=False)
class SegmentMap:
    """Segments of an image: ``ids`` int32 [H, W], from 1, 0 = no segment; ``classes`` int64 [K], that of id 1 first."""

    ids: NDArray[np.int32]
    classes: NDArray[np.int64]


@dataclass(slots=True)
class SegmentSizes:
    """Segments of the ground truth by class and area.

    The IoU of a segment is the largest one with a predicted segment of its class; pixels without ground truth count
    nowhere. It is found if this IoU is above ``FOUND_IOU``. ``counts``: float64 [classes, bins, 5]: number of segments,
    found ones, sum of IoU, pixels with the right class, pixels. Bins are those of ``AREAS``. Segments are the annotated
    ones, without crowds, or connected components of one class if the ground truth has no segments.
    """

    classes: int
    counts: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        """Start from zero."""
        self.counts = np.zeros((self.classes, len(AREAS) + 1, 5))

    def add(self, prediction: SegmentMap, truth: SegmentMap) -> None:
        """Count the true segments of one image."""
        true, predicted, pixels = intersections(truth.ids, prediction.ids)
        is_pair = (true > 0) & (predicted > 0)
        area = np.bincount(true, pixels, minlength=len(truth.classes) + 1)[1:]
        # Predicted pixels without ground truth are in no union.
        inside = np.where(true > 0, pixels, 0)
        predicted_area = np.bincount(predicted, inside, minlength=len(prediction.classes) + 1)[1:]
        true, predicted, pixels = true[is_pair] - 1, predicted[is_pair] - 1, pixels[is_pair]
        same = truth.classes[true] == prediction.classes[predicted]
        true, predicted, pixels = true[same], predicted[same], pixels[same]
        best = np.zeros(len(truth.classes))
        np.maximum.at(best, true, pixels / (area[true] + predicted_area[predicted] - pixels))
        correct = np.bincount(true, pixels, minlength=len(truth.classes))
        values = np.stack([np.ones_like(best), best > FOUND_IOU, best, correct, area], axis=1)
        present = area > 0
        bins = np.searchsorted(AREAS, area[present])
        np.add.at(self.counts, (truth.classes[present], bins), values[present])


def segment_maps(prediction: Prediction, sample: Sample, classes: int) -> tuple[SegmentMap, SegmentMap]:
    """The predicted and the true segments of an image: those of the maps of segments if both have them, else
    connected components of the class maps.
    """
    if sample.segments is None or prediction.panoptic is None:
        return connected_components(prediction.semantic, classes), connected_components(
            sample.semantic(), classes
        )
    true = [segment for segment in sample.segments if not segment.crowd]
    return (
        _listed(prediction.panoptic, [(s.id, s.class_index) for s in prediction.segments]),
        _listed(sample.map, [(s.id, s.class_index) for s in true]),
    )


def connected_components(indices: NDArray[Any], classes: int) -> SegmentMap:
    """The connected components (8 neighbors) of each class of a map of class indices [H, W]; other values have none."""
    ids = np.zeros(indices.shape, np.int32)
    owners: list[int] = []
    present = np.flatnonzero(np.bincount(indices.ravel(), minlength=classes)[:classes])
    for class_index in present.tolist():
        mask = (indices == class_index).astype(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)
        box = np.s_[top : top + height, left : left + width]
        count, components = cv2.connectedComponents(np.ascontiguousarray(mask[box]), connectivity=8)
        inside = components > 0
        ids[box][inside] = components[inside] + len(owners)
        owners += [class_index] * (count - 1)
    return SegmentMap(ids, np.array(owners, np.int64))


def intersections(
    first: NDArray[Any], second: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of ids that overlap in two maps of ids from 0, [H, W]: first ids, second ids, pixels."""
    start = run_starts(first, second)
    length = np.diff(start, append=first.size)
    width = int(second.max(initial=0)) + 1
    keys = first.reshape(-1)[start].astype(np.int64) * width + second.reshape(-1)[start]
    pairs, inverse = np.unique(keys, return_inverse=True)
    pixels = np.bincount(inverse.reshape(-1), length, minlength=len(pairs)).astype(np.int64)
    return pairs // width, pairs % width, pixels


def _listed(ids: NDArray[Any], segments: list[tuple[int, int]]) -> SegmentMap:
    index = index_of(ids, [segment_id for segment_id, _ in segments])
    owners = np.array([class_index for _, class_index in segments], np.int64)
    return SegmentMap((index + 1).astype(np.int32), owners)
