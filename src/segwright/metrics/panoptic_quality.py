"""Panoptic quality, by every rule of panopticapi.

Kirillov, He, Girshick, Rother, Dollar: Panoptic segmentation, CVPR 2019; the rules as its authors' tool applies them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.contracts import PredictedSegment, Segment
from segwright.labels import LabelSpace

VOID = 0  # in truth; in predictions -1, and 0 unless a segment has that id


@dataclass(slots=True)
class PanopticQuality:
    """Sums by class, float64 [classes, 4]: IoU of matches, matches, false positives, false negatives.

    A prediction matches a segment of its class when their IoU is above 0.5, void pixels of the truth left out. A
    crowd is neither found nor missed. A prediction without match is forgotten if more than half of it lies in void
    or in the crowd of its class; of several crowds of a class the last one counts, as in panopticapi. Segments of
    one stuff class are not joined.
    """

    labels: LabelSpace
    counts: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        """Start from zero."""
        self.counts = np.zeros((len(self.labels), 4))

    def add(
        self,
        prediction: NDArray[Any],
        predicted: Sequence[PredictedSegment | Segment],
        truth: NDArray[Any],
        segments: Sequence[Segment],
        *,
        areas: Mapping[int, int] | None = None,
    ) -> NDArray[np.float64]:
        """Count one image from maps of ids [H, W] and their segments; the image's own counts come back.

        ``areas``: pixels of true segments by id where an annotation file states them; else they are counted.
        ``ValueError`` for maps of unequal size, and for predicted ids and segments that do not correspond.
        """
        if prediction.shape != truth.shape:
            raise ValueError(
                f"prediction is {prediction.shape}, truth is {truth.shape}; expected equal sizes"
            )
        # In the order of their ids, in which panopticapi adds: equal to the last bit.
        found = sorted(predicted, key=lambda segment: segment.id)
        real = sorted(segments, key=lambda segment: segment.id)
        self._check(found)
        self._check(real)
        pixels = _intersections(truth, [s.id for s in real], prediction, [s.id for s in found])
        area = pixels.sum(0)[1:-1]
        if pixels[:, -1].any() or not area.all():
            raise ValueError(_difference(prediction, found, area))
        real_area = pixels.sum(1)[1:-1]
        if areas is not None:
            real_area = np.array([areas[segment.id] for segment in real], dtype=np.int64)
        inside, void = pixels[1:-1, 1:-1], pixels[0, 1:-1]
        iou = inside / np.maximum(area + real_area[:, None] - inside - void, 1)
        own, crowd = _classes(real), np.array([s.crowd for s in real], dtype=bool)
        match = (own[:, None] == _classes(found)) & ~crowd[:, None] & (iou > 0.5)
        forgiven = (void + _in_crowd(inside, found, segments, real)) / area > 0.5
        hits, mine = own[match.nonzero()[0]], np.zeros_like(self.counts)
        # One by one into the sums, too: adding the image's sum instead would round differently.
        for sums in (self.counts, mine):
            np.add.at(sums, (hits, 0), iou[match])
            np.add.at(sums, (hits, 1), 1)
            np.add.at(sums, (_classes(found)[~match.any(0) & ~forgiven], 2), 1)
            np.add.at(sums, (own[~match.any(1) & ~crowd], 3), 1)
        return mine

    def combine(self, counts: NDArray[np.float64]) -> None:
        """Add counts made elsewhere (another process, another file)."""
        self.counts += counts

    def result(self) -> dict[str, Any]:
        """{all | things | stuff: {pq, sq, rq, n}, class: {name: {pq, sq, rq}}} of everything counted so far."""
        return qualities(self.counts, self.labels)

    def _check(self, segments: Sequence[Segment | PredictedSegment]) -> None:
        for place, segment in enumerate(segments):
            if not 0 <= segment.class_index < len(self.labels):
                raise ValueError(
                    f"segment {segment.id} has class {segment.class_index}; expected one of the {len(self.labels)} "
                    f"classes of {self.labels.name!r}"
                )
            if place and segment.id == segments[place - 1].id:
                raise ValueError(f"segment {segment.id} is listed twice; expected one entry for each id")


def qualities(counts: NDArray[np.float64], labels: LabelSpace) -> dict[str, Any]:
    """Scores of sums [classes, 4] (``PanopticQuality.counts``), each ratio taken once, in 0..1.

    A class is averaged over where it occurs in truth or prediction; SQ is 0 where nothing matched. A class or group
    that does not occur is NaN.
    """
    classes: dict[str, dict[str, float]] = {}
    for name, (iou, hits, false, missed) in zip(labels.names, counts.tolist(), strict=True):
        half = hits + 0.5 * false + 0.5 * missed
        if half:
            classes[name] = {"pq": iou / half, "sq": iou / hits if hits else 0.0, "rq": hits / half}
        else:
            classes[name] = dict.fromkeys(("pq", "sq", "rq"), float("nan"))
    here = [name for name, values in classes.items() if values["pq"] == values["pq"]]
    return {
        "all": _mean(classes[name] for name in here),
        "things": _mean(classes[name] for name in here if name in labels.things),
        "stuff": _mean(classes[name] for name in here if name not in labels.things),
        "class": classes,
    }


def _mean(classes: Iterable[dict[str, float]]) -> dict[str, float]:
    rows = list(classes)
    means = {
        name: sum(row[name] for row in rows) / len(rows) if rows else float("nan")
        for name in ("pq", "sq", "rq")
    }
    return means | {"n": len(rows)}


def _classes(segments: Sequence[Segment | PredictedSegment]) -> NDArray[np.int64]:
    return np.array([segment.class_index for segment in segments], dtype=np.int64)


def _in_crowd(
    inside: NDArray[np.int64],
    found: Sequence[Segment | PredictedSegment],
    segments: Sequence[Segment],
    real: Sequence[Segment],
) -> NDArray[np.int64]:
    """Pixels of each prediction in the crowd of its class: the last one listed."""
    row = {segment.id: place for place, segment in enumerate(real)}
    crowd = {segment.class_index: row[segment.id] for segment in segments if segment.crowd}
    none = len(real)
    rows = np.array([crowd.get(segment.class_index, none) for segment in found], dtype=np.int64)
    with_none = np.concatenate([inside, np.zeros((1, len(found)), dtype=np.int64)])
    return with_none[rows, np.arange(len(found))]


def _intersections(
    truth: NDArray[Any], real: Sequence[int], prediction: NDArray[Any], found: Sequence[int]
) -> NDArray[np.int64]:
    """Pixels that share an id of each map, int64 [truth + 2, prediction + 2]: void, the ids given, any other.

    Maps consist of long runs; counting runs, weighted with their lengths, is much less than counting pixels.
    """
    rows, columns = truth.ravel(), prediction.ravel()
    first = np.ones(rows.size, dtype=bool)
    np.not_equal(rows[1:], rows[:-1], out=first[1:])
    first[1:] |= columns[1:] != columns[:-1]
    start = np.flatnonzero(first)
    length = np.diff(start, append=rows.size)
    width = len(found) + 2
    key = _places(rows[start], real, (VOID,)) * width + _places(columns[start], found, (VOID, -1))
    pixels = np.bincount(key, length, minlength=(len(real) + 2) * width)
    return pixels.astype(np.int64).reshape(-1, width)


def _places(values: NDArray[Any], ids: Sequence[int], void: tuple[int, ...]) -> NDArray[np.int64]:
    """1 + place among the ascending ``ids``, 0 for void, the last for any other."""
    names = np.array(ids, dtype=np.int64)
    places = np.where(np.isin(values, void), 0, len(ids) + 1)
    if len(names):
        near = np.searchsorted(names, values).clip(max=len(names) - 1)
        places = np.where(names[near] == values, near + 1, places)
    return places


def _difference(
    prediction: NDArray[Any], found: Sequence[Segment | PredictedSegment], area: NDArray[np.int64]
) -> str:
    for segment, pixels in zip(found, area, strict=True):
        if not pixels:
            return f"predicted segment {segment.id} has no pixel in the map; expected at least one"
    unknown = np.setdiff1d(prediction, [-1, VOID, *(segment.id for segment in found)])
    return (
        f"the predicted map holds id {unknown[0]}, which is not among its segments; expected an entry for it"
    )
