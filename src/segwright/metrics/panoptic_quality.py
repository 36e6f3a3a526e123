"""Panoptic quality, by every rule of panopticapi.

Kirillov, He, Girshick, Rother, Dollar: Panoptic segmentation, CVPR 2019; the rules as its authors' tool applies them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.rle import run_starts
from segwright.labels import LabelSpace
from segwright.samples import PredictedSegment, Segment, index_of

VOID = 0  # in truth; in predictions -1, and 0 unless a segment has that id


@dataclass(frozen=True, slots=True)
class Matches:
    """What the comparison of one image tells, each in the order of ids.

    ``classes`` int64 [K] and ``iou`` float64 [K] of the matches; ``false`` and ``missed``: the classes of predictions
    and of true segments without match.
    """

    classes: NDArray[np.int64]
    iou: NDArray[np.float64]
    false: NDArray[np.int64]
    missed: NDArray[np.int64]


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
        return self.count(self.compare(prediction, predicted, truth, segments, areas=areas))

    def compare(
        self,
        prediction: NDArray[Any],
        predicted: Sequence[PredictedSegment | Segment],
        truth: NDArray[Any],
        segments: Sequence[Segment],
        *,
        areas: Mapping[int, int] | None = None,
    ) -> Matches:
        """What ``add`` would count, without counting it: images compared side by side are counted in their order."""
        if prediction.shape != truth.shape:
            raise ValueError(
                f"prediction is {prediction.shape}, truth is {truth.shape}; expected equal sizes"
            )
        # In the order of their ids, in which panopticapi adds: equal to the last bit.
        found = sorted(predicted, key=lambda segment: segment.id)
        real = sorted(segments, key=lambda segment: segment.id)
        self._check(found)
        self._check(real)
        pixels = shared_pixels(truth, [s.id for s in real], prediction, [s.id for s in found])
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
        return Matches(
            own[match.nonzero()[0]],
            iou[match],
            _classes(found)[~match.any(0) & ~forgiven],
            own[~match.any(1) & ~crowd],
        )

    def count(self, matches: Matches) -> NDArray[np.float64]:
        """Count what ``compare`` found in one image; the image's own counts come back."""
        mine = np.zeros_like(self.counts)
        # One by one into the sums, too: adding the image's sum instead would round differently.
        for sums in (self.counts, mine):
            np.add.at(sums[:, 0], matches.classes, matches.iou)
            np.add.at(sums[:, 1], matches.classes, 1)
            np.add.at(sums[:, 2], matches.false, 1)
            np.add.at(sums[:, 3], matches.missed, 1)
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


def shared_pixels(
    truth: NDArray[Any], real: Sequence[int], prediction: NDArray[Any], found: Sequence[int]
) -> NDArray[np.int64]:
    """Pixels that share an id of each map, int64 [truth + 2, prediction + 2]: void, the ids given, any other."""
    start = run_starts(truth, prediction)
    length = np.diff(start, append=truth.size)
    width = len(found) + 2
    rows = _columns(truth.reshape(-1)[start], real, (VOID,))
    columns = _columns(prediction.reshape(-1)[start], found, (VOID, -1))
    pixels = np.bincount(rows * width + columns, length, minlength=(len(real) + 2) * width)
    return pixels.astype(np.int64).reshape(-1, width)


def _columns(values: NDArray[Any], ids: Sequence[int], void: tuple[int, ...]) -> NDArray[np.int64]:
    """1 + place among ``ids``, 0 for void, the last for any other."""
    place = index_of(values, ids)
    return np.where(place >= 0, place + 1, np.where(np.isin(values, void), 0, len(ids) + 1))


def _mean(classes: Iterable[dict[str, float]]) -> dict[str, float]:
    rows = list(classes)
    means = dict.fromkeys(("pq", "sq", "rq"), float("nan"))
    for name in means if rows else ():
        total = 0.0
        for row in rows:  # not sum(), which from Python 3.12 on rounds otherwise than panopticapi
            total += row[name]
        means[name] = total / len(rows)
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
