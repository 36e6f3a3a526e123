from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segwright.labels import LabelSpace
from segwright.samples import Sample, Segment
from segwright.suggestion.facts import LEAST_IMAGES, MOST_IMAGES, measure_data
from tests.small import Blocks

LABELS = LabelSpace("two", ("wall", "window"), ((1, 2, 3), (4, 5, 6)), (0, 1), (255,), ("wall", "window"))


class Images:
    """Samples in a list, as a dataset; ``read`` are the indices that were read."""

    def __init__(self, samples: list[Sample], labels: LabelSpace = LABELS) -> None:
        self.samples, self.labels, self.read = samples, labels, set[int]()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        self.read.add(index)
        return self.samples[index]

    def files(self, index: int) -> tuple[Path, ...]:
        return ()


def facade(value: int = 100, *, dtype: type = np.uint8, channels: int = 3) -> Sample:
    """A wall of 20x20 pixels with a window of 4x4 in its center, another window beside it, and void."""
    ids = np.zeros((30, 40), np.int32)
    ids[:20, :20] = 1
    ids[8:12, 8:12] = 2
    ids[8:12, 28:32] = 3
    segments = (Segment(1, 0), Segment(2, 1), Segment(3, 1))
    return Sample(np.full((30, 40, channels), value, dtype), ids, "a", segments)


def test_the_facts_of_objects_are_those_of_a_drawing() -> None:
    facts = measure_data(Images([facade()] * 5))
    objects = facts.objects
    assert objects is not None
    assert objects.count == 15
    assert objects.most == 3
    assert objects.side[0] == pytest.approx(4)
    assert objects.side[2] == pytest.approx(384**0.5)
    assert objects.spacing[0] == pytest.approx(
        20, abs=0.5
    )  # the window inside of the wall is no neighbor of it
    assert objects.nested == 1  # the center of every wall is a window
    assert objects.density == pytest.approx(3 / 416)
    sides = 384 * 384**0.5 + 2 * 16 * 4
    assert objects.offset == pytest.approx(0.38 * sides / 416)
    assert facts.size == (30, 40)
    assert facts.unlabeled == pytest.approx(1 - 416 / 1200)
    assert facts.fractions == pytest.approx((384 / 416, 32 / 416))


def test_the_distance_to_the_nearest_center_is_that_of_all_pairs() -> None:
    random = np.random.default_rng(0)
    points = random.choice(300 * 300, 700, replace=False)
    ids = np.zeros((300, 300), np.int32)
    ids.ravel()[points] = np.arange(1, 701)
    segments = tuple(Segment(int(i), 1) for i in range(1, 701))
    facts = measure_data(Images([Sample(np.zeros((300, 300, 3), np.uint8), ids, "a", segments)]))
    y, x = np.divmod(points, 300)
    distance = np.hypot(y[:, None] - y, x[:, None] - x)
    np.fill_diagonal(distance, np.inf)
    assert facts.objects is not None
    assert facts.objects.spacing == pytest.approx(np.percentile(distance.min(1), (2, 10)))


def test_crowds_and_stuff_are_no_objects() -> None:
    sample = facade()
    labels = LabelSpace("two", ("wall", "window"), ((1, 2, 3), (4, 5, 6)), (0, 1), (255,), ("window",))
    crowd = (Segment(1, 0), Segment(2, 1, True), Segment(3, 1))
    facts = measure_data(Images([Sample(sample.image, sample.map, "a", crowd)], labels))
    assert facts.objects is not None
    assert facts.objects.count == 1
    assert facts.objects.spacing == (float("inf"), float("inf"))


def test_class_maps_have_no_objects_and_a_map_without_objects_has_none_either() -> None:
    assert measure_data(Blocks().open(None, "train")).objects is None
    empty = Sample(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.int32), "a", ())
    facts = measure_data(Images([empty]))
    assert facts.objects is not None
    assert facts.objects.count == 0
    assert facts.unlabeled == 1


def test_brightness_and_bands_are_told_apart() -> None:
    facts = measure_data(Images([facade(5), facade(100), facade(250)]))
    assert facts.photographs
    assert facts.exposure > 8
    values = np.log1p(np.array([5, 100, 250]) / 8)
    assert (facts.log_mean, facts.log_std) == pytest.approx((values.mean(), values.std()), abs=1e-5)
    assert not measure_data(Images([facade(channels=5)])).photographs
    assert not measure_data(Images([facade(dtype=np.uint16)])).photographs
    assert not measure_data(Images([facade()]), photographs=False).photographs


def test_only_some_images_of_a_large_dataset_are_read_and_processes_change_nothing() -> None:
    many = Images([facade()] * (3 * MOST_IMAGES))
    told = []
    facts = measure_data(many, progress=lambda *numbers: told.append(numbers))
    assert told[-1] == ("train", MOST_IMAGES, MOST_IMAGES)
    assert len(many.read) == facts.measured == MOST_IMAGES
    assert facts.images == 3 * MOST_IMAGES
    blocks = Blocks().open(None, "train")
    assert measure_data(blocks) == measure_data(blocks, workers=2)


def test_of_large_images_fewer_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for pixels, number in ((50, 50), (7, LEAST_IMAGES)):  # for the pixels of so many images
        monkeypatch.setattr("segwright.suggestion.facts.MOST_PIXELS", pixels * 30 * 40)
        many = Images([facade()] * 60)
        assert measure_data(many).measured == len(many.read) == number


def test_objects_are_those_of_all_pixels_one_by_one() -> None:
    random = np.random.default_rng(0)
    ids = random.integers(0, 9, (17, 23)).astype(np.int32)
    ids[4:9, 3:20] = 4
    segments = tuple(Segment(number, 1) for number in range(1, 9))
    image = random.integers(0, 256, (17, 23, 3)).astype(np.uint8)
    facts = measure_data(Images([Sample(image, ids, "a", segments)]))
    areas = np.array([(ids == number).sum() for number in range(1, 9)])
    centers = np.array([np.argwhere(ids == number).mean(0) for number in range(1, 9)])
    apart = np.square(centers[:, None] - centers).sum(2)
    apart[apart < 0.25**2 * np.maximum(areas[:, None], areas)] = np.inf
    nearest = np.sqrt(apart.min(1))
    at_center = ids[centers[:, 0].astype(int), centers[:, 1].astype(int)]
    objects = facts.objects
    assert objects is not None
    assert objects.side == pytest.approx(np.percentile(np.sqrt(areas), (25, 50, 90)))
    assert objects.spacing == pytest.approx(np.percentile(nearest[np.isfinite(nearest)], (2, 10)))
    assert objects.nested == pytest.approx(((at_center != np.arange(1, 9)) & (at_center > 0)).mean())
    logarithms = np.log1p(image / 8)
    assert (facts.log_mean, facts.log_std) == pytest.approx((logarithms.mean(), logarithms.std()))
