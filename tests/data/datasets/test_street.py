from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from segwright.data.datasets.street import StreetScenes
from segwright.errors import UserError
from segwright.metrics.confusion import ConfusionMatrix
from segwright.samples import IGNORED, Dataset, Sample


def opened(split: str = "val", **options: object) -> Dataset:
    return StreetScenes(**options).open(None, split)  # type: ignore[arg-type]


def test_it_is_a_dataset_of_the_given_size() -> None:
    data = opened("train", train=7, size=(64, 80))
    assert isinstance(data, Dataset)
    assert (len(data), len(opened("val", val=3))) == (7, 3)
    sample = data[6]
    assert (sample.image.shape, sample.image.dtype) == ((64, 80, 3), np.uint8)
    assert (sample.map.shape, sample.map.dtype, sample.segments) == ((64, 80), np.uint8, None)
    assert sample.name == "street_train_00006"
    assert data.files(6) == ()


def test_a_scene_is_a_function_of_seed_split_and_index() -> None:
    first, again = opened(), opened()
    assert np.array_equal(first[4].image, again[4].image)
    assert np.array_equal(first[4].map, again[4].map)
    assert not np.array_equal(first[4].image, first[5].image)
    assert not np.array_equal(first[4].image, opened("train")[4].image)
    assert not np.array_equal(first[4].image, opened(seed=1)[4].image)


def test_a_scene_does_not_depend_on_earlier_reads() -> None:
    data = opened()
    forward = [data[i].image for i in range(3)]
    backward = [data[i].image for i in (2, 1, 0)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forward, backward, strict=True))


def test_scenes_do_not_depend_on_the_number_of_images() -> None:
    assert np.array_equal(opened(val=10)[9].image, opened(val=99)[9].image)


def test_train_and_val_share_no_scene() -> None:
    splits = [
        {np.ascontiguousarray(data[i].map).tobytes() for i in range(len(data))}
        for data in (opened("train", train=30), opened("val", val=30))
    ]
    assert len(splits[0]) == len(splits[1]) == 30
    assert not splits[0] & splits[1]


def test_semantic_and_panoptic_maps_agree() -> None:
    semantic, panoptic = opened(), opened(panoptic=True)
    for index in range(12):
        with_classes, with_segments = semantic[index], panoptic[index]
        assert np.array_equal(with_classes.image, with_segments.image)
        assert np.array_equal(with_classes.map, with_segments.semantic())
        assert with_classes.name == with_segments.name


def test_segments_are_exactly_the_ids_of_the_map() -> None:
    data = opened(panoptic=True)
    for index in range(12):
        sample = data[index]
        assert sample.segments is not None
        assert sample.map.dtype == np.int32
        assert {s.id for s in sample.segments} == set(np.unique(sample.map).tolist()) - {0}
        stuff = [s.class_index for s in sample.segments if not is_thing(data, s.class_index)]
        assert len(stuff) == len(set(stuff))
        assert all(is_thing(data, s.class_index) for s in sample.segments if s.crowd)


def is_thing(data: Dataset, class_index: int) -> bool:
    return data.labels.names[class_index] in data.labels.things


def test_every_class_occurs_and_some_pixels_are_ignored() -> None:
    data = opened()
    pixels = np.concatenate([data[i].map.ravel() for i in range(25)])
    fraction = np.bincount(pixels, minlength=256) / pixels.size
    assert fraction[: len(data.labels)].min() > 0.005
    assert 0.001 < fraction[IGNORED] < 0.1
    assert set(np.unique(pixels)) <= {*range(len(data.labels)), IGNORED}


def test_images_have_several_things_and_some_are_crowds() -> None:
    data = opened("train", panoptic=True)
    samples = [data[i] for i in range(60)]
    things = [[s for s in x.segments or () if is_thing(data, s.class_index)] for x in samples]
    assert np.mean([len(t) for t in things]) > 2
    assert any(s.crowd for t in things for s in t)


@pytest.mark.parametrize("size", [(32, 48), (33, 57), (96, 144), (240, 320), (64, 33)])
def test_any_size_can_be_drawn(size: tuple[int, int]) -> None:
    data = opened(size=size, panoptic=True)
    for index in range(4):
        sample = data[index]
        assert sample.image.shape == (*size, 3)
        assert sample.map.shape == size


def test_an_opened_split_survives_pickling() -> None:
    data = opened(panoptic=True)
    data[0]
    content = pickle.dumps(data)
    assert len(content) < 2000
    assert np.array_equal(pickle.loads(content)[3].map, data[3].map)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(UserError, match="unknown split 'test'; expected train or val"):
        StreetScenes().open(None, "test")


def test_a_folder_of_generated_scenes_has_no_effect_and_is_refused() -> None:
    with pytest.raises(
        UserError, match="its scenes are generated, so --data anywhere has no effect; remove it"
    ):
        StreetScenes().open(Path("anywhere"), "train")


@pytest.mark.parametrize("index", [-1, 60])
def test_an_index_outside_the_split_is_refused(index: int) -> None:
    with pytest.raises(IndexError, match="60 images"):
        opened(val=60)[index]


def test_color_and_position_are_not_enough_to_classify_pixels() -> None:
    from sklearn.linear_model import LogisticRegression

    train, val = opened("train"), opened("val", val=20)
    random = np.random.default_rng(0)
    drawn = [pixels(train[i], random.permutation(96 * 144)[:200]) for i in range(40)]
    features = np.concatenate([f for f, _ in drawn])
    classes = np.concatenate([c for _, c in drawn])
    known = classes != IGNORED
    mean, std = features.mean(0), features.std(0)
    model = LogisticRegression(max_iter=500).fit((features[known] - mean) / std, classes[known])
    confusion = ConfusionMatrix(val.labels)
    for index in range(len(val)):
        sample = val[index]
        prediction = model.predict((pixels(sample)[0] - mean) / std)
        confusion.add(prediction.reshape(sample.map.shape).astype(np.uint8), sample.map)
    assert 0.2 < confusion.result().miou < 0.5


def pixels(
    sample: Sample, chosen: NDArray[np.int64] | slice = slice(None)
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Color and normalized position of pixels, and their classes."""
    y, x = np.indices(sample.map.shape).reshape(2, -1) / np.array(
        [[sample.map.shape[0]], [sample.map.shape[1]]]
    )
    features = np.concatenate([sample.image.reshape(-1, 3) / 255.0, x[:, None], y[:, None]], axis=1)
    return features[chosen], sample.map.ravel()[chosen]
