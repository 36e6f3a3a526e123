from __future__ import annotations

import inspect
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from segwright.data.datasets.cityscapes import CLASSES as CITYSCAPES
from segwright.labels import LabelSpace, spread_colors

SPACE = LabelSpace(
    "streets",
    ("road", "car"),
    ((1, 2, 3), (4, 5, 6)),
    (7, 26),
    ignored=(0, 255),
    things=("car",),
    also=((27, 1),),
)


def test_raw_values_become_classes_and_back() -> None:
    raw = np.array([[7, 26, 27], [0, 255, 7]], np.uint8)
    classes = SPACE.to_classes(raw)
    assert classes.tolist() == [[0, 1, 1], [255, 255, 0]]
    assert SPACE.to_raw(classes).tolist() == [[7, 26, 26], [0, 0, 7]]


def test_raw_values_beyond_a_byte_are_read_and_written() -> None:
    space = LabelSpace("big", ("a",), ((0, 0, 0),), (1000,), ignored=(0,))
    assert space.to_classes(np.array([[1000, 0]], np.uint16)).tolist() == [[0, 255]]
    assert space.to_raw(np.array([[0, 255]], np.uint8)).tolist() == [[1000, 0]]
    with pytest.raises(ValueError, match="value 2000"):
        space.to_classes(np.array([[2000]], np.uint16))


def test_an_unknown_value_is_named() -> None:
    with pytest.raises(ValueError, match="value 3, 4 is no class of 'streets'"):
        SPACE.to_classes(np.array([[3, 4, 7]], np.uint8))


LAYOUTS = {
    "as it is": lambda array: array,
    "column order": np.asfortranarray,
    "every second pixel": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "flipped": lambda array: array[::-1, ::-1].copy()[::-1, ::-1],
    "transposed": lambda array: array.swapaxes(0, -1).copy().swapaxes(0, -1),
    "a channel of several": lambda array: np.stack([array, array + 1], axis=-1)[..., 0],
    "read-only": lambda array: np.broadcast_to(array, array.shape),
    "one row for all": lambda array: np.broadcast_to(array[:1], array.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.int64])
def test_tables_give_the_same_for_every_type_layout_and_shape(layout: str, dtype: type) -> None:
    class_of, raw_of = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
    class_of[[7, 26, 27, 0, 255]] = 0, 1, 1, 255, 255
    raw_of[[0, 1, 255]] = 7, 26, 0
    for shape in [(37, 53), (1, 1), (0, 5), (5, 0), (4, 5, 6), (600, 500)]:
        values = np.random.default_rng(0).choice([7, 26, 27, 0, 255], shape).astype(dtype)
        raw = LAYOUTS[layout](values)
        classes = SPACE.to_classes(raw)
        assert classes.dtype == np.uint8 and np.array_equal(classes, class_of[raw])
        indices = LAYOUTS[layout](class_of[values].astype(dtype))
        assert SPACE.to_raw(indices).dtype == np.uint8
        assert np.array_equal(SPACE.to_raw(indices), raw_of[indices])


def test_a_single_value_and_a_row_of_values_are_maps_too() -> None:
    assert SPACE.to_classes(np.array(26, np.uint8)).shape == ()
    assert SPACE.to_classes(np.array([26, 0, 7], np.uint8)).tolist() == [1, 255, 0]


@pytest.mark.parametrize("classes", [1, 254, 255, 256, 300])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_each_unknown_byte_is_refused_whatever_the_number_of_classes(classes: int, dtype: type) -> None:
    first = 3  # unknown: 0, 1, 2 and, of few classes, the values from 3 + classes on
    names = tuple(map(str, range(classes)))
    values = tuple(range(first, first + classes))
    space = LabelSpace("many", names, spread_colors(classes), values, ignored=(first + classes,))
    for value in range(256):
        raw = np.full((3, 4), first, dtype)
        raw[1, 2] = value
        if first <= value <= first + classes:
            ignored = value == first + classes
            expected = space.ignore_index if ignored else value - first
            assert space.to_classes(raw)[1, 2] == expected
        else:
            with pytest.raises(ValueError, match=f"value {value} is no class of 'many'"):
                space.to_classes(raw)


def test_it_survives_json() -> None:
    assert LabelSpace.from_json(SPACE.to_json()) == SPACE


def test_class_names_alone_make_a_label_space() -> None:
    labels = LabelSpace.of("road", "car", things=["car"])
    assert labels == LabelSpace(
        "custom", ("road", "car"), ((128, 0, 0), (0, 128, 0)), (0, 1), ignored=(255,), things=("car",)
    )
    assert labels.to_classes(np.array([[0, 1, 255]], np.uint8)).tolist() == [[0, 1, 255]]
    assert LabelSpace.of("sky", name="clouds").name == "clouds"
    assert len(LabelSpace.of(*map(str, range(255)))) == 255


@pytest.mark.parametrize(
    ("names", "options", "reason"),
    [
        ((), {}, "label space 'custom' has 0 classes; expected 1 to 65535"),
        (("a", "a"), {}, "names a class or a raw value twice"),
        (("a",), {"things": ("b",)}, r"things \['b'\] are not among its classes"),
        ((["road", "car"],), {}, r"class name \['road', 'car'\] is no string; expected names one by one"),
        (("car",), {"things": "car"}, "things='car' is a string; expected a sequence of names"),
    ],
)
def test_names_that_make_no_label_space_are_refused(names: tuple, options: dict, reason: str) -> None:
    of = inspect.unwrap(LabelSpace.of.__func__)  # without the type checks of the test suite
    with pytest.raises(ValueError, match=reason):
        of(LabelSpace, *names, **options)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"names": ("a",)}, "differ in number"),
        ({"raw_values": (7, 7)}, "twice"),
        ({"ignored": (-1,)}, "has the raw value -1; expected 0 or more"),
        ({"things": ("bus",)}, "bus"),
        ({"names": ()}, "0 classes"),
    ],
)
def test_a_space_that_contradicts_itself_is_refused(change: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        LabelSpace.from_json(SPACE.to_json() | change)


def test_spread_colors_are_those_of_pascal_voc() -> None:
    assert spread_colors(4) == ((128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128))


def test_categories_follow_renaming_merging_and_dropping() -> None:
    space = CITYSCAPES.remap(
        rename={"car": "auto"}, merge={"two-wheeler": ["motorcycle", "bicycle"]}, drop=["train", "terrain"]
    )
    categories = dict(space.categories)
    assert categories["vehicle"] == ("auto", "truck", "bus", "caravan", "trailer", "train", "two-wheeler")
    assert categories["nature"] == ("vegetation", "terrain")
    assert space.ignored_names[-2:] == ("terrain", "train")
    assert dict(space.instance_sizes)["auto"] == 12794.0202738185
    assert "two-wheeler" not in dict(space.instance_sizes)
    assert LabelSpace.from_json(json.loads(json.dumps(space.to_json()))) == space
    assert "categories" not in LabelSpace.of("a", "b").to_json()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": (("x", ("a", "nothing")),)}, "'nothing' has a category but is none"),
        ({"categories": (("x", ("a",)), ("y", ("a",)))}, "two categories"),
        ({"ignored_names": ("void", "other")}, "differ in number"),
        ({"instance_sizes": (("a", 3.0),)}, "'a' has an instance size but is no thing"),
    ],
)
def test_categories_that_contradict_the_classes_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(LabelSpace.of("a", "b"), **changes)
