from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segwright.data.datasets.facade import Facade
from segwright.data.datasets.street import StreetScenes
from segwright.evaluation.evaluator import Tally
from segwright.samples import PredictedSegment, Prediction, Sample

DATA = StreetScenes(val=6, panoptic=True).open(None, "val")


def perfect(sample: Sample, *, foreground: bool = False) -> Prediction:
    """The truth as a prediction; what is void in truth stays so, crowds are left out."""
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
    seen = things[sample.semantic()] if foreground else None
    return Prediction(sample.semantic(), panoptic, tuple(segments), seen)


class Two:
    """Two processes in one: adds what the other has."""

    world = 2

    def __init__(self, rank: int, other: Tally | None) -> None:
        self.rank, self.other, self.asked = rank, other, 0

    def sum(self, values: np.ndarray) -> np.ndarray:
        assert self.other is not None
        theirs = (
            self.other.confusion.counts,
            self.other.quality.counts,
            self.other.foreground.counts,
            self.other.binary_masks.counts,
            np.array([self.other.panoptic_images]),
        )[self.asked]
        self.asked += 1
        return values + theirs

    def gather(self, thing: Any) -> list[Any]:
        assert self.other is not None
        return [thing, self.other.precision.state]


def test_the_truth_scores_one_in_everything() -> None:
    tally = Tally(DATA.labels)
    for index in range(len(DATA)):
        own = tally.add(perfect(DATA[index], foreground=True), DATA[index])
        assert own["pq"] == own["miou"] == 1
    assert tally.confusion.result().miou == 1
    assert tally.quality.result()["all"]["pq"] == 1
    assert tally.precision.result()["all"]["ap"] == pytest.approx(1)
    assert tally.foreground.result().class_iou == {"background": 1, "thing": 1}


def test_two_processes_count_what_one_counts() -> None:
    whole, first, second = Tally(DATA.labels), Tally(DATA.labels), Tally(DATA.labels)
    for index in range(len(DATA)):
        shifted = Sample(DATA[index].image, np.roll(DATA[index].map, 3, 1), "shifted", DATA[index].segments)
        for tally in (whole, (first, second)[index % 2]):
            tally.add(perfect(DATA[index]), shifted, image=index)
    first.combine(Two(0, second))
    assert (first.confusion.counts == whole.confusion.counts).all()
    np.testing.assert_allclose(first.quality.counts, whole.quality.counts)
    assert first.panoptic_images == 6
    assert repr(first.precision.result()) == repr(whole.precision.result())  # NaN equals nothing


def test_class_maps_are_counted_as_classes_alone() -> None:
    sample = DATA[0]
    tally = Tally(DATA.labels)
    own = tally.add(Prediction(sample.semantic()), sample)
    assert set(own) == {"miou", "pixel_accuracy"}
    bare = Sample(sample.image, sample.semantic(), "bare")
    tally.add(perfect(sample), bare)
    assert tally.panoptic_images == 0


def test_average_precision_reads_outlines_that_overlap(shared: Path) -> None:
    data = Facade(task="instance").open(shared / "data" / "facade", "val")
    sample, rows = data[0], data.annotations(0)
    assert rows is not None
    assert sample.segments is not None
    hidden, total = data.overlapped_pixels(0)
    assert 0 < hidden < total  # windows lie in facades
    found = [(s, int((sample.map == s.id).sum())) for s in sample.segments]
    panoptic = np.full(sample.map.shape, -1, np.int32)
    segments = []
    for s, area in found:
        label = s.class_index * 1000 + s.id
        panoptic[sample.map == s.id] = label
        segments.append(PredictedSegment(label, s.class_index, area, 1.0))
    prediction = Prediction(sample.semantic(), panoptic, tuple(segments))
    painted, drawn = Tally(data.labels), Tally(data.labels)
    painted.add(prediction, sample)
    drawn.add(prediction, sample, annotations=rows)
    assert painted.precision.result()["all"]["ap"] == pytest.approx(1)
    assert drawn.precision.result()["class"]["facade"]["ap"] < 1  # its holes are the windows'
    assert drawn.precision.result()["class"]["window"]["ap"] > 0.9


def test_channels_that_answer_by_themselves_have_f1() -> None:
    sample = DATA[0]
    truth = sample.semantic()
    binary_masks = truth[None] == np.arange(len(DATA.labels))[:, None, None]
    tally = Tally(DATA.labels)
    tally.add(Prediction(truth, binary_masks=binary_masks), sample)
    assert tally.binary_masks.result()["f1"] == 1
