"""The error counts of a split: they agree with the metrics, do not depend on the order, and survive their file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segwright.analysis.errors.objects import CAUSES
from segwright.analysis.errors.split_errors import (
    MAX_EXAMPLES,
    SplitErrors,
    class_iou,
    class_pq,
    mean_of_classes,
    sum_of_classes,
)
from segwright.analysis.errors.storage import read_errors, write_errors
from segwright.data.datasets.street import StreetScenes
from segwright.labels import LabelSpace
from segwright.metrics.confusion import ConfusionMatrix
from segwright.metrics.panoptic_quality import PanopticQuality, panoptic_scores
from segwright.samples import PredictedSegment, Prediction, Sample


def street(count: int) -> tuple[LabelSpace, list[Sample]]:
    dataset = StreetScenes(train=1, val=count, size=(48, 72), panoptic=True).open(None, "val")
    return dataset.labels, [dataset[index] for index in range(count)]


def shifted(sample: Sample, labels: LabelSpace, rows: int) -> Prediction:
    """The ground truth, moved down by some rows, as a prediction."""
    classes = np.roll(sample.semantic(), rows, axis=0)
    panoptic = np.full(classes.shape, -1, np.int32)
    segments = []
    ids = np.roll(sample.map, rows, axis=0)
    assert sample.segments is not None
    things = labels.thing_table()
    for number, segment in enumerate(sample.segments, start=1):
        value = segment.class_index * 1000 + (number if things[segment.class_index] else 0)
        panoptic[ids == segment.id] = value
    for value, area in zip(*np.unique(panoptic[panoptic >= 0], return_counts=True), strict=True):
        segments.append(PredictedSegment(int(value), int(value) // 1000, int(area), 1.0))
    return Prediction(classes, panoptic, tuple(segments))


def counted(order: list[int], count: int = 5) -> SplitErrors:
    labels, samples = street(count)
    errors = SplitErrors(labels)
    for index in order:
        errors.add(index, samples[index], shifted(samples[index], labels, index))
    errors.images.sort(key=lambda image: image.index)
    return errors


@pytest.fixture(scope="module")
def errors() -> SplitErrors:
    return counted([0, 1, 2, 3, 4])


def test_the_sums_of_images_give_the_scores_of_the_metrics(errors: SplitErrors) -> None:
    labels, samples = street(5)
    confusion, quality = ConfusionMatrix(labels), PanopticQuality(labels)
    for index, sample in enumerate(samples):
        prediction = shifted(sample, labels, index)
        assert prediction.panoptic is not None and sample.segments is not None
        confusion.add(prediction.semantic, sample.semantic())
        quality.add(prediction.panoptic, prediction.segments, sample.map, sample.segments)
    np.testing.assert_array_equal(errors.confusions.pixels, confusion.counts)
    iou = class_iou(sum_of_classes(errors))
    np.testing.assert_array_equal(iou, list(confusion.result().class_iou.values()))
    assert float(mean_of_classes(iou)) == pytest.approx(confusion.result().miou, abs=1e-15)
    counts = sum(image.segments for image in errors.images if image.segments is not None)
    pq = float(mean_of_classes(class_pq(np.asarray(counts))))
    assert pq == pytest.approx(panoptic_scores(quality.counts, labels)["all"]["pq"], abs=1e-12)
    np.testing.assert_array_equal(errors.causes[..., 0].sum(1), quality.counts[:, 3])
    np.testing.assert_array_equal(errors.causes[..., 1].sum(1), quality.counts[:, 2])
    assert errors.boundaries.zones[..., 0].sum() == confusion.counts.sum()


def test_the_order_of_images_changes_nothing(errors: SplitErrors) -> None:
    other = counted([3, 1, 4, 0, 2])
    for name in ("pixels", "images", "large", "most_pixels"):
        np.testing.assert_array_equal(getattr(errors.confusions, name), getattr(other.confusions, name))
    np.testing.assert_array_equal(
        errors.sizes.counts[..., [0, 1, 3, 4]], other.sizes.counts[..., [0, 1, 3, 4]]
    )
    np.testing.assert_allclose(errors.sizes.counts, other.sizes.counts)
    np.testing.assert_array_equal(errors.causes, other.causes)
    assert errors.examples == other.examples or [e.area for e in errors.examples] == [
        e.area for e in other.examples
    ]


def test_confusions_are_counted_by_images() -> None:
    labels = LabelSpace.of("a", "b", "c")
    errors = SplitErrors(labels)
    truth = np.zeros((10, 10), np.uint8)
    truth[5:] = 1
    for index, wrong in enumerate((1, 4, 30)):  # pixels of a that are predicted as b, of 50
        prediction = truth.copy()
        prediction.reshape(-1)[:wrong] = 1
        errors.add(
            index, Sample(np.zeros((10, 10, 3), np.uint8), truth, f"image {index}"), Prediction(prediction)
        )
    assert errors.confusions.pixels[0, 1] == 35
    assert errors.confusions.images[0, 1] == 3
    assert errors.confusions.large[0, 1] == 1
    assert (errors.confusions.most[0, 1], errors.confusions.most_pixels[0, 1]) == (2, 30)
    assert errors.confusions.most[1, 0] == -1
    assert errors.images[1].confusion == (0, 1, 4)
    assert not errors.has_segments


def test_examples_are_bounded_and_of_different_images(errors: SplitErrors) -> None:
    for cause in range(len(CAUSES)):
        images = [example.index for example in errors.examples if example.cause == cause]
        assert len(images) == len(set(images)) <= MAX_EXAMPLES
    assert errors.examples


def test_counts_survive_their_file(errors: SplitErrors, tmp_path: Path) -> None:
    path = tmp_path / "errors.npz"
    write_errors(path, errors, "model data")
    again = read_errors(path, errors.labels, "model data")
    assert again is not None
    np.testing.assert_array_equal(again.confusions.most, errors.confusions.most)
    np.testing.assert_array_equal(again.sizes.counts, errors.sizes.counts)
    np.testing.assert_array_equal(again.causes, errors.causes)
    assert [repr(example) for example in again.examples] == [repr(example) for example in errors.examples]
    assert [image.name for image in again.images] == [image.name for image in errors.images]
    for one, other in zip(again.images, errors.images, strict=True):
        np.testing.assert_array_equal(one.classes, other.classes)
        np.testing.assert_array_equal(one.segments, other.segments)
        assert one.confusion == other.confusion
    assert read_errors(path, errors.labels, "model *") is not None


def test_counts_of_another_model_or_a_damaged_file_are_not_used(errors: SplitErrors, tmp_path: Path) -> None:
    path = tmp_path / "errors.npz"
    write_errors(path, errors, "model data")
    assert read_errors(path, errors.labels, "model other") is None
    assert read_errors(path, errors.labels, "other *") is None
    assert read_errors(path, LabelSpace.of("a"), "model data") is None
    assert read_errors(tmp_path / "none.npz", errors.labels, "model data") is None
    path.write_bytes(path.read_bytes()[:-200])
    assert read_errors(path, errors.labels, "model data") is None


def test_a_perfect_prediction_has_no_errors() -> None:
    labels, samples = street(2)
    errors = SplitErrors(labels)
    for index, sample in enumerate(samples):
        prediction = shifted(sample, labels, 0)
        unscored = sample.semantic() == 255
        errors.add(index, sample, replace(prediction, semantic=np.where(unscored, 0, prediction.semantic)))
    assert not errors.boundaries.zones[..., 1].any()
    assert not errors.causes.any()
    assert errors.examples == []
    assert not any(image.confusion[2] for image in errors.images)
    np.testing.assert_array_equal(errors.sizes.counts[..., 0], errors.sizes.counts[..., 1])
    assert np.nanmin(class_iou(sum_of_classes(errors))) == 1


@pytest.mark.parametrize("segments", [None, ()])
def test_images_without_ground_truth_count_nowhere(segments: tuple[()] | None) -> None:
    labels, _ = street(1)
    void = np.full((8, 9), 255, np.uint8) if segments is None else np.zeros((8, 9), np.int32)
    panoptic = np.full((8, 9), 7001, np.int32)
    prediction = Prediction(np.full((8, 9), 7, np.uint8), panoptic, (PredictedSegment(7001, 7, 72, 1.0),))
    errors = SplitErrors(labels)
    errors.add(0, Sample(np.zeros((8, 9, 3), np.uint8), void, "a", segments), prediction)
    for counts in (errors.confusions.pixels, errors.boundaries.zones, errors.sizes.counts, errors.causes):
        assert not counts.any()
    assert np.isnan(mean_of_classes(class_iou(sum_of_classes(errors))))


def test_an_empty_prediction_misses_everything() -> None:
    labels, (sample,) = street(1)
    size = sample.map.shape
    nothing = Prediction(np.full(size, 255, np.uint8), np.full(size, -1, np.int32), ())
    errors = SplitErrors(labels)
    errors.add(0, sample, nothing)
    assert sample.segments is not None
    crowds = sum(segment.crowd for segment in sample.segments)
    assert errors.causes[:, CAUSES.index("missed"), 0].sum() == len(sample.segments) - crowds
    assert errors.causes.sum() == errors.causes[:, CAUSES.index("missed"), 0].sum()
    assert errors.confusions.pixels[:, -1].sum() == errors.confusions.pixels.sum() > 0


def test_relabeling_the_classes_permutes_the_counts() -> None:
    labels, (sample,) = street(1)
    order = np.random.default_rng(0).permutation(len(labels))  # class i becomes class order[i]
    table = np.append(order, np.full(256 - len(order), 255)).astype(np.uint8)
    truth, prediction = sample.semantic(), np.roll(sample.semantic(), 3, axis=0)
    one, other = SplitErrors(labels), SplitErrors(labels)
    one.add(0, Sample(sample.image, truth, "a"), Prediction(prediction))
    other.add(0, Sample(sample.image, table[truth], "a"), Prediction(table[prediction]))
    np.testing.assert_array_equal(other.boundaries.zones[order], one.boundaries.zones)
    np.testing.assert_array_equal(other.boundaries.distances, one.boundaries.distances)
    np.testing.assert_allclose(other.sizes.counts[order], one.sizes.counts)
    columns = np.append(order, len(labels))
    np.testing.assert_array_equal(other.confusions.pixels[order][:, columns], one.confusions.pixels)
