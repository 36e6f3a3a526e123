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
    with pytest.raises(ValueError, match="value 3, 4 is not in label space 'streets'"):
        SPACE.to_classes(np.array([[3, 4, 7]], np.uint8))


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
