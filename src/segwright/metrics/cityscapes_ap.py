"""Average precision of instances by the rules of Cityscapes.

Cordts et al.: The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016; the rules as
evalInstanceLevelSemanticLabeling of cityscapesScripts applies them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.labels import LabelSpace
from segwright.metrics.panoptic_quality import shared_pixels
from segwright.samples import PredictedSegment, Segment

OVERLAPS = np.arange(0.5, 1.0, 0.05)
State = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Examples [N, 4] (class, place of the overlap, score, 1 for a hit and 0 for a false positive) and counts."""


@dataclass(frozen=True, slots=True)
class Overlaps:
    """The instances of one image and what they share, in pixels.

    ``shared`` [truth, found]; ``void`` [found]: those in regions that count for nothing; ``groups`` [truth]: what
    stands for several objects that nobody separated.
    """

    shared: NDArray[np.int64]
    void: NDArray[np.int64]
    truth_area: NDArray[np.int64]
    area: NDArray[np.int64]
    truth_class: NDArray[np.int64]
    classes: NDArray[np.int64]
    groups: NDArray[np.bool_]
    scores: NDArray[np.float64]


@dataclass(slots=True)
class CityscapesAP:
    """Average precision of masks over overlaps 0.5, 0.55, ... 0.95, each to be exceeded.

    It is the area under the steps of the raw curve, without interpolation. Objects below ``smallest`` pixels and
    groups are neither found nor missed. Of several predictions of one object the surest is a hit, the others are
    false. A prediction without object is forgotten if void, groups and small objects make up more than the overlap
    of it.
    """

    labels: LabelSpace
    smallest: int = 100
    examples: list[NDArray[np.float64]] = field(init=False, default_factory=list)
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Start from zero: objects that count and predictions, by class [classes, 2]."""
        self.counts = np.zeros((len(self.labels), 2), dtype=np.int64)

    @property
    def state(self) -> State:
        """All that has been counted."""
        return np.concatenate([np.empty((0, 4)), *self.examples]), self.counts

    def add(
        self,
        prediction: NDArray[Any],
        predicted: Sequence[PredictedSegment],
        truth: NDArray[Any],
        segments: Sequence[Segment],
    ) -> None:
        """Count one image from maps of ids [H, W] and their segments; pixels of no true segment (0) are void.

        The official tool reads instances of classes that it does not score (a caravan) as no void; in such a map they
        are. ``ValueError`` for maps of unequal size.
        """
        if prediction.shape != truth.shape:
            raise ValueError(
                f"prediction is {prediction.shape}, truth is {truth.shape}; expected equal sizes"
            )
        things = self.labels.thing_table()
        real = [s for s in segments if things[s.class_index]]
        found = [s for s in predicted if things[s.class_index]]
        names = [s.id for s in real], [s.id for s in segments if not things[s.class_index]]
        pixels = shared_pixels(truth, [*names[0], *names[1]], prediction, [s.id for s in found])
        objects = slice(1, 1 + len(real))
        self.add_overlaps(
            Overlaps(
                shared=pixels[objects, 1:-1],
                void=pixels[0, 1:-1],
                truth_area=pixels.sum(1)[objects],
                area=pixels.sum(0)[1:-1],
                truth_class=np.array([s.class_index for s in real], dtype=np.int64),
                classes=np.array([s.class_index for s in found], dtype=np.int64),
                groups=np.array([s.crowd for s in real], dtype=bool),
                scores=np.array([s.score for s in found], dtype=np.float64),
            )
        )

    def add_overlaps(self, image: Overlaps) -> None:
        """Count one image whose masks may overlap. Predictions without a pixel do not count."""
        for k in np.union1d(image.truth_class, image.classes[image.area > 0]).tolist():
            truth, found = image.truth_class == k, (image.classes == k) & (image.area > 0)
            counts = ~image.groups[truth] & (image.truth_area[truth] >= self.smallest)
            self.counts[k] += counts.sum(), found.sum()
            self.examples.append(self._examples(image, k, truth, found))

    def _examples(
        self, image: Overlaps, k: int, truth: NDArray[np.bool_], found: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Hits and false positives of a class at every overlap."""
        shared = image.shared[truth][:, found]
        areas, area, scores = image.truth_area[truth], image.area[found], image.scores[found]
        group, small = image.groups[truth], areas < self.smallest
        iou = shared / (areas[:, None] + area - shared)
        # What is a group and small counts twice, as in cityscapesScripts.
        forgiven = (image.void[found] + shared[group].sum(0) + shared[small].sum(0)) / area
        rows = []
        for place, overlap in enumerate(OVERLAPS):
            match = iou > overlap
            for own in match[~group & ~small]:
                if own.any():
                    sure = np.sort(scores[own])
                    rows += [(k, place, sure[-1], 1.0), *((k, place, score, 0.0) for score in sure[:-1])]
            false = scores[~match.any(0) & (forgiven <= overlap)]
            rows += [(k, place, score, 0.0) for score in false]
        return np.array(rows, dtype=np.float64).reshape(-1, 4)

    def combine(self, state: State) -> None:
        """Add the state of another."""
        self.examples.append(state[0])
        self.counts += state[1]

    def result(self) -> dict[str, Any]:
        """{all: {ap, ap50, n}, class: {name: {ap, ap50}}} of things, fractions 0..1; NaN where there is no object."""
        examples, _ = self.state
        names = [name for name in self.labels.names if name in self.labels.things]
        rows = [self._class(self.labels.names.index(name), examples) for name in names]
        values = np.array(rows).reshape(-1, len(OVERLAPS))
        here = ~np.isnan(values[:, 0])
        ap, ap50 = (
            float(np.nanmean(part)) if here.any() else float("nan") for part in (values, values[:, 0])
        )
        return {
            "all": {"ap": ap, "ap50": ap50, "n": int(here.sum())},
            "class": {
                name: {"ap": float(row.mean()), "ap50": float(row[0])}
                for name, row in zip(names, values, strict=True)
            },
        }

    def _class(self, k: int, examples: NDArray[np.float64]) -> list[float]:
        """Average precision of a class at each overlap."""
        objects, predictions = self.counts[k].tolist()
        if not objects or not predictions:
            return [0.0 if objects else float("nan")] * len(OVERLAPS)
        own = examples[examples[:, 0] == k]
        each = [own[own[:, 1] == place] for place in range(len(OVERLAPS))]
        return [_area_under_steps(rows[:, 2], rows[:, 3], objects) for rows in each]


def _area_under_steps(scores: NDArray[np.float64], hits: NDArray[np.float64], objects: int) -> float:
    """The area under precision over recall, one point a score, each as wide as half the way to both neighbors."""
    order = np.argsort(scores)
    _, first = np.unique(scores[order], return_index=True)
    below = np.append(0.0, hits[order].cumsum())[first]
    tp = hits.sum() - below
    precision = np.append(tp / (len(scores) - first), 1.0)
    recall = np.append(tp / objects, 0.0)
    around = np.concatenate([recall[:1], recall, [0.0]])
    return float(np.dot(precision, 0.5 * around[:-2] - 0.5 * around[2:]))
