"""Video panoptic quality (VPQ) of sequences.

Kim et al.: Video Panoptic Segmentation, CVPR 2020; the rules as the tools of Cityscapes-VPS and Cityscapes-DVPS
(ViP-DeepLab) apply them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace
from segwright.metrics.arrays import matching_counts
from segwright.metrics.frame_pairs import DIVISOR, SegmentPairs, areas
from segwright.metrics.panoptic_quality import panoptic_scores
from segwright.metrics.tracking_quality import check_classes

WINDOWS = (1, 2, 3, 4)


@dataclass(slots=True)
class VideoPanopticQuality:
    """Video panoptic quality (VPQ): PQ of the segments in every window of k consecutive frames, averaged over k.

    A segment of a window (a tube) is all pixels of one id in its frames. It matches a true one of its class if the IoU
    is above 0.5; void pixels of the ground truth are left out of the union, and predictions with more than half of
    their pixels in void do not count. There are no crowds: instance number 0 of a thing is an instance.

    ``windows``: the numbers of frames k. ``counts``: float64 [windows, classes, 4], each as
    ``PanopticQuality.counts``.
    """

    labels: LabelSpace
    windows: Sequence[int] = field(default=WINDOWS, kw_only=True)
    counts: NDArray[np.float64] = field(init=False)
    frames: int = field(default=0, init=False)
    _recent: dict[str, deque[SegmentPairs]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Start from zero; ``ValueError`` for a window without a frame."""
        if not self.windows or min(self.windows) < 1 or len(set(self.windows)) < len(self.windows):
            raise ValueError(f"windows={tuple(self.windows)}; expected different numbers of frames from 1")
        self.counts = np.zeros((len(self.windows), len(self.labels), 4))

    def add(self, prediction: NDArray[Any], truth: NDArray[Any], sequence: str = "") -> None:
        """Count the next frame of a sequence; the frames of one sequence come in order.

        Both maps [H, W] hold class index * 65536 + instance number; negative values are void. ``ValueError`` for maps
        of unequal size, and for a class that the label space does not have.
        """
        self.add_pairs([SegmentPairs.of(truth, prediction)], sequence)

    def add_pairs(self, frames: Iterable[SegmentPairs], sequence: str = "") -> None:
        """Count the pairs of segments of the next frames of a sequence."""
        recent = self._recent.setdefault(sequence, deque(maxlen=max(self.windows)))
        for table in frames:
            check_classes(table, self.labels)
            recent.append(table)
            self.frames += 1
            for index, size in enumerate(self.windows):
                if len(recent) >= size:
                    window = islice(recent, len(recent) - size, None)
                    _count(SegmentPairs.sum(window), self.counts[index])

    def combine(self, other: VideoPanopticQuality) -> None:
        """Add the counts of another object, of other whole sequences."""
        self.counts += matching_counts(self, other)
        self.frames += other.frames

    def result(self) -> dict[str, Any]:
        """{vpq, vpq_things, vpq_stuff, frames, window: {k: scores}}: fractions 0..1, ``panoptic_scores`` for each k.

        The first three are the means over k; NaN if a window size occurs in no sequence.
        """
        scores = {
            str(size): panoptic_scores(counts, self.labels)
            for size, counts in zip(self.windows, self.counts, strict=True)
        }
        means = {
            name: float(np.mean([values[group]["pq"] for values in scores.values()]))
            for name, group in (("vpq", "all"), ("vpq_things", "things"), ("vpq_stuff", "stuff"))
        }
        return means | {"frames": self.frames, "window": scores}


def _count(window: SegmentPairs, counts: NDArray[np.float64]) -> None:
    """Add the matches of one window to counts [classes, 4]."""
    true_ids, true_areas = areas(window.truth, window.pixels)
    predicted_ids, predicted_areas = areas(window.prediction, window.pixels)
    row, column = np.searchsorted(true_ids, window.truth), np.searchsorted(predicted_ids, window.prediction)
    void = np.zeros(len(predicted_ids), np.int64)
    np.add.at(void, column[window.truth < 0], window.pixels[window.truth < 0])
    union = true_areas[row] + predicted_areas[column] - window.pixels - void[column]
    same_class = (window.truth // DIVISOR == window.prediction // DIVISOR) & (window.truth >= 0)
    iou = window.pixels / np.maximum(union, 1)
    match = same_class & (iou > 0.5)
    missed = np.ones(len(true_ids), bool)
    missed[row[match]] = False
    spurious = void / predicted_areas <= 0.5
    spurious[column[match]] = False
    np.add.at(counts[:, 0], window.truth[match] // DIVISOR, iou[match])
    np.add.at(counts[:, 1], window.truth[match] // DIVISOR, 1)
    np.add.at(counts[:, 2], predicted_ids[spurious & (predicted_ids >= 0)] // DIVISOR, 1)
    np.add.at(counts[:, 3], true_ids[missed & (true_ids >= 0)] // DIVISOR, 1)
