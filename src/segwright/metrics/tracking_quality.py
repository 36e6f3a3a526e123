"""Segmentation and tracking quality (STQ) of sequences.

Weber et al.: STEP: Segmenting and Tracking Every Pixel, NeurIPS 2021; the rules as the authors' tool (deeplab2) applies
them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace
from segwright.metrics.arrays import ratio
from segwright.metrics.frame_pairs import DIVISOR, SegmentPairs, areas


@dataclass(slots=True)
class TrackingQuality:
    """Segmentation and tracking quality (STQ): the geometric mean of association quality (AQ) and mean IoU.

    AQ compares the tracks of things, whatever their class; instance number 0 of a thing in the ground truth is a crowd,
    which AQ leaves out. IoU compares the classes. A class that occurs in neither map is left out of the mean. As in
    deeplab2, void in the prediction counts as one more class, of IoU 0, if it covers pixels with ground truth.

    ``pairs``: the pairs of segments of every sequence by name.
    """

    labels: LabelSpace
    pairs: dict[str, SegmentPairs] = field(default_factory=dict, init=False)
    frames: dict[str, int] = field(default_factory=dict, init=False)

    def add(self, prediction: NDArray[Any], truth: NDArray[Any], sequence: str = "") -> None:
        """Count one frame of a sequence, in any order.

        Both maps [H, W] hold class index * 65536 + instance number; negative values are void. ``ValueError`` for maps
        of unequal size, and for a class that the label space does not have.
        """
        self.add_pairs([SegmentPairs.of(truth, prediction)], sequence)

    def add_pairs(self, frames: Iterable[SegmentPairs], sequence: str = "") -> None:
        """Count the pairs of segments of several frames of a sequence."""
        tables = [*frames]
        for table in tables:
            check_classes(table, self.labels)
        self._merge(sequence, SegmentPairs.sum(tables), len(tables))

    def combine(self, other: TrackingQuality) -> None:
        """Add what another object has counted, of other sequences or of other frames."""
        for sequence, table in other.pairs.items():
            self._merge(sequence, table, other.frames[sequence])

    def _merge(self, sequence: str, table: SegmentPairs, frames: int) -> None:
        known = self.pairs.get(sequence)
        self.pairs[sequence] = table if known is None else SegmentPairs.sum([known, table])
        self.frames[sequence] = self.frames.get(sequence, 0) + frames

    def result(self) -> dict[str, Any]:
        """{stq, aq, iou, tracks, frames, class_iou: {name: iou}, sequence: {name: {stq, aq, iou, tracks, frames}}}.

        Fractions 0..1. Without any track AQ is 0; without any pixel of ground truth IoU is NaN.
        """
        parts = {name: self._count(table) for name, table in self.pairs.items()}
        sequences = {name: _scores(*counts) | {"frames": self.frames[name]} for name, counts in parts.items()}
        confusion = np.zeros((len(self.labels), len(self.labels) + 1), np.int64)
        for counts in parts.values():
            confusion += counts[0]
        association = math.fsum(counts[1] for counts in parts.values())
        tracks = sum(counts[2] for counts in parts.values())
        iou = _class_iou(confusion)[:-1]
        return {
            **_scores(confusion, association, tracks),
            "frames": sum(self.frames.values()),
            "class_iou": dict(zip(self.labels.names, iou.tolist(), strict=True)),
            "sequence": sequences,
        }

    def _count(self, table: SegmentPairs) -> tuple[NDArray[np.int64], float, int]:
        """(confusion matrix, sum of the association qualities of all true tracks, number of true tracks)."""
        count = len(self.labels)
        rows, columns = (np.where(ids < 0, count, ids // DIVISOR) for ids in (table.truth, table.prediction))
        confusion = np.zeros((count + 1, count + 1), np.int64)
        np.add.at(confusion, (rows, columns), table.pixels)
        is_thing = np.zeros(count + 1, bool)
        is_thing[: len(self.labels)] = [name in self.labels.things for name in self.labels.names]
        crowd = is_thing[rows] & (table.truth % DIVISOR == 0)
        true, predicted = is_thing[rows] & ~crowd, is_thing[columns] & ~crowd
        association, tracks = _association(table, true, predicted)
        return confusion[:count], association, tracks


def _association(
    table: SegmentPairs, true: NDArray[np.bool_], predicted: NDArray[np.bool_]
) -> tuple[float, int]:
    """Equation 4 of the paper, before the division by the number of tracks; and this number."""
    true_ids, true_areas = areas(table.truth[true], table.pixels[true])
    predicted_ids, predicted_areas = areas(table.prediction[predicted], table.pixels[predicted])
    both = true & predicted
    shared = table.pixels[both].astype(np.float64)
    true_area = true_areas[np.searchsorted(true_ids, table.truth[both])]
    predicted_area = predicted_areas[np.searchsorted(predicted_ids, table.prediction[both])]
    iou = shared / (true_area + predicted_area - shared)
    return float((shared * iou / true_area).sum()), len(true_ids)


def _class_iou(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """IoU of every class, then of void, from counts [classes, classes + 1]; NaN for what does not occur."""
    true_positives = np.append(np.diagonal(confusion), 0)
    total = confusion.sum(0) + np.append(confusion.sum(1), 0) - true_positives
    return ratio(true_positives.astype(np.float64), total.astype(np.float64))


def _scores(confusion: NDArray[np.int64], association: float, tracks: int) -> dict[str, Any]:
    iou = _class_iou(confusion)
    known = iou[~np.isnan(iou)]
    mean_iou = float(known.sum() / len(known)) if len(known) else math.nan
    quality = association / tracks if tracks else 0.0
    return {"stq": math.sqrt(quality * mean_iou), "aq": quality, "iou": mean_iou, "tracks": tracks}


def check_classes(table: SegmentPairs, labels: LabelSpace) -> None:
    """``ValueError`` for a segment of a class that the label space does not have."""
    for ids in (table.truth, table.prediction):
        largest = int(ids.max(initial=-1)) // DIVISOR
        if largest >= len(labels):
            raise ValueError(
                f"a segment has class {largest}; expected one of the {len(labels)} classes of {labels.name!r}"
            )
