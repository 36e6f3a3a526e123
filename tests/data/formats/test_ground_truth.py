from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coder
from tests import small

from segwright.data.formats.class_definitions import labels_from_mapping
from segwright.data.formats.coco_masks import CocoInstanceMasks, annotation_to_mask
from segwright.data.formats.ground_truth import (
    ClassAndInstanceMaps,
    ClassMaps,
    CocoPanopticMaps,
    EncodedInstanceMaps,
    SegmentTable,
)
from segwright.data.formats.instance_encoding import (
    BitmaskEncoding,
    ClassInRed,
    ClassTimesDivisor,
    InstancesOnly,
)
from segwright.data.reading.file_lists import CompactStrings
from segwright.data.reading.label_maps import unpack_rgb, write_png
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import Segment

SPACE = small.STREETS


def test_values_of_a_group_and_of_single_instances_are_told_apart(tmp_path: Path) -> None:
    raw = np.array([[7, 7, 24, 24001], [26000, 26001, 0, 26001]], np.uint16)
    write_png(tmp_path / "a.png", raw)
    ids, segments = EncodedInstanceMaps(
        [tmp_path / "a.png"], ClassTimesDivisor(1000, plain_class_ids=True)
    ).read(0, SPACE)
    decoded = {s.id - 1: (s.class_index, s.crowd) for s in segments}
    assert decoded == {7: (0, False), 24: (1, True), 24001: (1, False), 26000: (2, False), 26001: (2, False)}
    assert ((ids == 0) == (raw == 0)).all()
    assert ((ids - 1)[ids > 0] == raw[raw > 0]).all()


def test_instance_zero_of_a_class_zero_is_not_void(tmp_path: Path) -> None:
    space = LabelSpace("vistas", ("bird", "road"), ((1, 1, 1), (2, 2, 2)), (0, 1), (2,), ("bird",))
    write_png(tmp_path / "a.png", np.array([[0, 1, 256, 512]], np.uint16))
    ids, segments = EncodedInstanceMaps([tmp_path / "a.png"], ClassTimesDivisor(256)).read(0, space)
    assert segments == (Segment(1, 0), Segment(2, 0), Segment(257, 1))
    assert ids.tolist() == [[1, 2, 257, 0]]


def test_class_in_red_and_instance_in_green_and_blue(tmp_path: Path) -> None:
    raw = np.array([[[7, 0, 0], [26, 1, 2], [26, 0, 0], [0, 0, 0]]], np.uint8)
    write_png(tmp_path / "a.png", raw)
    ids, segments = EncodedInstanceMaps([tmp_path / "a.png"], ClassInRed()).read(0, SPACE)
    assert [(s.class_index, s.crowd) for s in segments] == [(0, False), (2, True), (2, False)]
    assert ids[0, 3] == 0


def test_attributes_of_a_bitmask_are_read(tmp_path: Path) -> None:
    from PIL import Image

    raw = np.array([[[24, 0, 0, 5], [24, 2, 0, 6], [24, 1, 0, 7], [0, 0, 0, 0]]], np.uint8)
    Image.fromarray(raw).save(tmp_path / "a.png")
    ids, segments = EncodedInstanceMaps([tmp_path / "a.png"], BitmaskEncoding()).read(0, SPACE)
    assert [(s.class_index, s.crowd) for s in segments] == [(1, False), (1, True)]
    assert (ids[0] > 0).tolist() == [True, True, False, False]


def test_a_map_of_instances_of_one_class(tmp_path: Path) -> None:
    space = LabelSpace("cells", ("cell",), ((9, 9, 9),), (1,), (0,), ("cell",))
    write_png(tmp_path / "a.png", np.array([[0, 3, 700]], np.uint16))
    ids, segments = EncodedInstanceMaps([tmp_path / "a.png"], InstancesOnly()).read(0, space)
    assert ids.tolist() == [[0, 3, 700]]
    assert segments == (Segment(3, 0), Segment(700, 0))


def test_two_maps_join_and_a_thing_without_number_is_a_group(tmp_path: Path) -> None:
    write_png(tmp_path / "c.png", np.array([[7, 24, 24, 24, 0]], np.uint8))
    write_png(tmp_path / "i.png", np.array([[0, 1, 2, 0, 9]], np.uint16))
    truth = ClassAndInstanceMaps([tmp_path / "c.png"], [tmp_path / "i.png"])
    ids, segments = truth.read(0, SPACE)
    assert [(s.class_index, s.crowd) for s in segments] == [(0, False), (1, True), (1, False), (1, False)]
    assert ids[0, 4] == 0
    assert truth.problems(0, SPACE) == []


def test_a_number_in_two_classes_names_two_instances(tmp_path: Path) -> None:
    write_png(tmp_path / "c.png", np.array([[24, 26]], np.uint8))
    write_png(tmp_path / "i.png", np.array([[4, 4]], np.uint8))
    _, segments = ClassAndInstanceMaps([tmp_path / "c.png"], [tmp_path / "i.png"]).read(0, SPACE)
    assert [s.class_index for s in segments] == [1, 2]


def panoptic(folder: Path, ids: np.ndarray, rows: list[tuple[int, int, bool]]) -> CocoPanopticMaps:
    write_png(folder / "a.png", unpack_rgb(ids)[..., ::-1])
    return CocoPanopticMaps([folder / "a.png"], SegmentTable([rows]), folder / "panoptic.json")


def test_panoptic_ids_beyond_65535_survive_and_several_stuff_segments_are_one(tmp_path: Path) -> None:
    ids = np.array([[0, 5, 70000, 16_000_000]])
    rows = [(5, 7, False), (70000, 7, False), (16_000_000, 26, True)]
    read, segments = panoptic(tmp_path, ids, rows).read(0, SPACE)
    assert read.tolist() == [[0, 5, 5, 16_000_000]]
    assert segments == (Segment(5, 0), Segment(16_000_000, 2, True))


def test_a_segment_of_an_ignored_class_is_void(tmp_path: Path) -> None:
    read, segments = panoptic(tmp_path, np.array([[5, 6]]), [(5, 0, False), (6, 7, False)]).read(0, SPACE)
    assert read.tolist() == [[0, 6]]
    assert segments == (Segment(6, 0),)


def test_json_and_png_that_disagree_are_reported(tmp_path: Path) -> None:
    truth = panoptic(tmp_path, np.array([[5, 6]]), [(5, 7, False), (8, 7, False), (8, 7, False)])
    only_png, only_json, twice = truth.problems(0, SPACE)
    assert "a.png: id 6 (1 ids) is not in panoptic.json" in only_png
    assert "panoptic.json: segment 8" in only_json
    assert "a.png has no pixel in it" in only_json
    assert "share an id" in twice


SQUARE = [[2.0, 2.0, 8.0, 2.0, 8.0, 8.0, 2.0, 8.0]]


def polygons(*annotations: dict[str, object], size: tuple[int, int] = (10, 12)) -> CocoInstanceMasks:
    return CocoInstanceMasks(CompactStrings([json.dumps([*size, list(annotations)])]), Path("instances.json"))


def entry(segmentation: object, category: int = 24, **more: object) -> dict[str, object]:
    return {"id": 5, "category_id": category, "segmentation": segmentation, **more}


def test_polygons_are_painted_large_to_small_and_masks_stay_whole() -> None:
    small = [[3.0, 3.0, 5.0, 3.0, 5.0, 5.0, 3.0, 5.0]]
    truth = polygons(entry(small), entry(SQUARE, 26))
    ids, segments = truth.read(0, SPACE)
    assert segments == (Segment(1, 1), Segment(2, 2))
    masks = truth.masks(0)
    assert ids[4, 4] == 1  # the small one lies on top although it comes first
    assert masks[1][4, 4]
    hidden, total = truth.overlapped_pixels(0)
    assert (hidden, total) == (int(masks[0].sum()), int(masks[0].sum() + masks[1].sum()))


def test_an_instance_that_another_hides_wholly_has_no_segment() -> None:
    ids, segments = polygons(entry(SQUARE), entry(SQUARE)).read(0, SPACE)
    assert len(segments) == 1
    assert set(np.unique(ids)) == {0, segments[0].id}


def test_run_lengths_compressed_or_not_give_their_mask() -> None:
    mask = np.zeros((10, 12), np.uint8)
    mask[2:5, 3:9] = 1
    code = coder.encode(np.asfortranarray(mask))
    packed = {"size": [10, 12], "counts": code["counts"].decode()}
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[2], mask.T.ravel(), [2]]))))
    plain = {"size": [10, 12], "counts": runs.tolist()}
    for segmentation in (packed, plain):
        ids, segments = polygons(entry(segmentation, iscrowd=1)).read(0, SPACE)
        assert ((ids > 0) == mask).all()
        assert segments == (Segment(1, 1, True),)


@pytest.mark.parametrize(
    "segmentation",
    [
        None,
        5,
        {"size": [3, 3], "counts": [9]},
        {"size": [10, 12]},
        {"size": [10, 12], "counts": [5, 6]},
        {"size": [10, 12], "counts": []},
        {"size": [10, 12], "counts": [130, -10]},
        {"size": [10, 12], "counts": "0"},
        [["a", "b", "c", "d", "e", "f"]],
        [5, 6],
        [[1.0, 1.0, float("nan"), 2.0, 3.0, 3.0]],
        [[1.0, 1.0, 1e12, 2.0, 3.0, 3.0]],
        [[1.0, 1.0, float("-inf"), 2.0, 3.0, 3.0]],
    ],
)
def test_a_segmentation_that_is_none_is_refused(segmentation: object) -> None:
    with pytest.raises(UserError, match=r"instances\.json: the segmentation of annotation 5 cannot be read"):
        annotation_to_mask(segmentation, (10, 12), Path("instances.json"), 5)


def test_a_polygon_of_two_points_is_reported() -> None:
    truth = polygons(entry([[1.0, 1.0, 5.0, 5.0]]))
    assert truth.empty_annotations(0) == [5]
    assert truth.read(0, SPACE)[1] == ()


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ([0, 255], "a 0/255 mask"),
        ([1, 2, 3], "shifted by one"),
        ([0, 1, 99], "correct the file, or name the value in classes.yaml"),
    ],
)
def test_unknown_values_come_with_what_they_mostly_come_from(
    tmp_path: Path, values: list[int], hint: str
) -> None:
    space = LabelSpace("three", ("a", "b", "c"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)), (0, 1, 2), ())
    write_png(tmp_path / "m.png", np.array([values], np.uint8))
    with pytest.raises(UserError, match=rf"m\.png: value .* is no class of 'three'.*{hint}"):
        ClassMaps([tmp_path / "m.png"]).read(0, space)


def test_train_ids_are_read_as_ids_and_ids_refused_where_train_ids_are_expected(tmp_path: Path) -> None:
    write_png(tmp_path / "m.png", np.array([[0, 1, 255]], np.uint8))
    truth = ClassMaps([tmp_path / "m.png"], {0: 7, 1: 24, 255: 0})
    assert truth.read(0, SPACE)[0].tolist() == [[0, 1, 255]]
    write_png(tmp_path / "m.png", np.array([[7, 24]], np.uint8))
    with pytest.raises(UserError, match=r"m\.png: unknown value 7; expected the values of this kind of map"):
        truth.read(0, SPACE)


def test_color_coded_maps_become_classes_and_go_back(tmp_path: Path) -> None:
    space = labels_from_mapping(
        {"classes": {"sky": "#8080ff", "road": "#404040"}, "ignored": "#000000"}, name="x"
    )
    colors = np.array([[[128, 128, 255], [64, 64, 64], [0, 0, 0]]], np.uint8)
    write_png(tmp_path / "m.png", colors)
    classes, segments = ClassMaps([tmp_path / "m.png"]).read(0, space)
    assert classes.tolist() == [[0, 1, 255]]
    assert segments is None
    assert (space.to_raw(classes) == colors).all()
    write_png(tmp_path / "m.png", colors + np.uint8(1))
    with pytest.raises(UserError, match=r"m\.png: color \(1, 1, 1\).* is no class of"):
        ClassMaps([tmp_path / "m.png"]).read(0, space)


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1)))
def test_packed_run_lengths_are_those_of_pycocotools(mask: np.ndarray) -> None:
    code = coder.encode(np.asfortranarray(mask))
    packed = {"size": list(mask.shape), "counts": code["counts"].decode()}
    assert (annotation_to_mask(packed, mask.shape, Path("a.json"), 1) == mask).all()


def test_overlapping_things_keep_the_pixels_that_others_cover() -> None:
    small, far = [[3.0, 3.0, 5.0, 3.0, 5.0, 5.0, 3.0, 5.0]], [[9.0, 0.0, 12.0, 0.0, 12.0, 3.0, 9.0, 3.0]]
    rows = [
        entry(small),
        entry(SQUARE, 26),
        entry(SQUARE),
        entry(far),
        entry([[0.0, 0.0, 12.0, 0.0, 12.0, 10.0]], iscrowd=1),
    ]
    truth = polygons(*rows)
    ids, segments = truth.read_overlapping(0, SPACE)
    masks, members = (
        truth.masks(0),
        {s.id: s.objects or ((s.id, s.class_index),) for s in segments if not s.crowd},
    )
    for number, mask in enumerate(masks[:4], start=1):
        inside = [identity for identity, objects in members.items() if number in [i for i, _ in objects]]
        assert (np.isin(ids, inside) == mask).all()
    plain, _ = truth.read(0, SPACE)  # everybody else sees the same pixels of things and crowds
    assert ((ids > 0) == (plain > 0)).all()
    top = {i: objects[-1][0] for i, objects in members.items()}
    assert (
        np.vectorize(lambda i: top.get(i, 0))(ids) == np.where(np.isin(plain, [1, 2, 3, 4]), plain, 0)
    ).all()
    (crowd,) = [s for s in segments if s.crowd]
    assert ((ids == crowd.id) == (masks[4] & ~np.logical_or.reduce(masks[:4]))).all()


def test_things_that_do_not_overlap_are_the_segments_of_the_plain_map() -> None:
    truth = polygons(entry(SQUARE), entry([[9.0, 0.0, 12.0, 0.0, 12.0, 2.0, 9.0, 2.0]], 26))
    (ids, segments), (plain, visible) = truth.read_overlapping(0, SPACE), truth.read(0, SPACE)
    assert np.array_equal(ids, plain) and segments == visible
