from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segwright.data.datasets.facade import Facade
from segwright.data.datasets.street import StreetScenes
from segwright.evaluation.evaluator import Evaluator
from segwright.samples import PredictedSegment, Prediction, Sample

DATA = StreetScenes(val=6, panoptic=True).open(None, "val")


def perfect(sample: Sample, *, foreground: bool = False) -> Prediction:
    """The ground truth as a prediction: void stays void, crowds are left out."""
    assert sample.segments is not None
    things = DATA.labels.thing_table()
    panoptic = np.full(sample.map.shape, -1, np.int32)
    segments = []
    for number, segment in enumerate(s for s in sample.segments if not s.crowd):
        own = sample.map == segment.id
        if not own.any():
            continue
        label = segment.class_index * 1000 + (number + 1) * bool(things[segment.class_index])
        panoptic[own] = label
        segments.append(PredictedSegment(label, segment.class_index, int(own.sum()), 1.0))
    thing_mask = things[sample.semantic()] if foreground else None
    return Prediction(sample.semantic(), panoptic, tuple(segments), thing_mask)


class Two:
    """A group of two processes: ``other`` is the evaluator of the second one."""

    world = 2

    def __init__(self, rank: int, other: Evaluator | None) -> None:
        self.rank, self.other, self.summed, self.gathered = rank, other, 0, 0

    def sum(self, values: np.ndarray) -> np.ndarray:
        assert self.other is not None
        theirs = (
            self.other.confusion.counts,
            self.other.panoptic_quality.counts,
            self.other.foreground.counts,
            self.other.binary_scores.counts,
            np.array([self.other.panoptic_images]),
        )[self.summed]
        self.summed += 1
        return values + theirs

    def gather(self, value: Any) -> list[Any]:
        assert self.other is not None
        theirs = (self.other.average_precision.state, self.other.per_image, self.other.metrics)[self.gathered]
        self.gathered += 1
        return [value, theirs]


def test_the_ground_truth_has_the_score_one_in_everything() -> None:
    evaluator = Evaluator(DATA.labels)
    for index in range(len(DATA)):
        own = evaluator.add(perfect(DATA[index], foreground=True), DATA[index])
        assert own["pq"] == own["miou"] == 1
    assert evaluator.confusion.result().miou == 1
    assert evaluator.panoptic_quality.result()["all"]["pq"] == 1
    assert evaluator.average_precision.result()["all"]["ap"] == pytest.approx(1)
    assert evaluator.foreground.result().class_iou == {"background": 1, "thing": 1}


def test_two_processes_count_what_one_counts() -> None:
    single, first, second = Evaluator(DATA.labels), Evaluator(DATA.labels), Evaluator(DATA.labels)
    for index in range(len(DATA)):
        shifted = Sample(DATA[index].image, np.roll(DATA[index].map, 3, 1), "shifted", DATA[index].segments)
        for evaluator in (single, (first, second)[index % 2]):
            evaluator.add(perfect(DATA[index]), shifted, index=index)
    first.combine(Two(0, second))
    assert (first.confusion.counts == single.confusion.counts).all()
    np.testing.assert_allclose(first.panoptic_quality.counts, single.panoptic_quality.counts)
    assert first.panoptic_images == 6
    assert repr(first.per_image) == repr(single.per_image)
    assert repr(first.average_precision.result()) == repr(
        single.average_precision.result()
    )  # NaN is not equal to NaN


def test_class_maps_have_no_panoptic_scores() -> None:
    sample = DATA[0]
    evaluator = Evaluator(DATA.labels)
    own = evaluator.add(Prediction(sample.semantic()), sample)
    assert set(own) == {"index", "name", "miou", "pixel_accuracy"}
    bare = Sample(sample.image, sample.semantic(), "bare")
    evaluator.add(perfect(sample), bare)
    assert evaluator.panoptic_images == 0


def test_average_precision_uses_overlapping_outlines(shared: Path) -> None:
    data = Facade(task="instance").open(shared / "data" / "facade", "val")
    sample, rows = data[0], data.annotations(0)
    assert rows is not None
    assert sample.segments is not None
    hidden, total = data.overlapped_pixels(0)
    assert 0 < hidden < total  # windows overlap facades
    areas = [(s, int((sample.map == s.id).sum())) for s in sample.segments]
    panoptic = np.full(sample.map.shape, -1, np.int32)
    segments = []
    for s, area in areas:
        label = s.class_index * 1000 + s.id
        panoptic[sample.map == s.id] = label
        segments.append(PredictedSegment(label, s.class_index, area, 1.0))
    prediction = Prediction(sample.semantic(), panoptic, tuple(segments))
    painted, drawn = Evaluator(data.labels), Evaluator(data.labels)
    painted.add(prediction, sample)
    drawn.add(prediction, sample, annotations=rows)
    assert painted.average_precision.result()["all"]["ap"] == pytest.approx(1)
    assert (
        drawn.average_precision.result()["class"]["facade"]["ap"] < 1
    )  # in the map, windows cut holes into it
    assert drawn.average_precision.result()["class"]["window"]["ap"] > 0.9


def test_binary_masks_have_f1() -> None:
    sample = DATA[0]
    truth = sample.semantic()
    binary_masks = truth[None] == np.arange(len(DATA.labels))[:, None, None]
    evaluator = Evaluator(DATA.labels)
    evaluator.add(Prediction(truth, binary_masks=binary_masks), sample)
    assert evaluator.binary_scores.result()["f1"] == 1
