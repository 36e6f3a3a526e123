from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coder

from segwright.data.reading.rle import annotation_to_rle, decode_mask, encode_crop, encode_masks, run_starts
from segwright.samples import index_of

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 12))
MAPS = SIZES.flatmap(lambda size: arrays.arrays(np.int32, size, elements=st.integers(-1, 5)))


@given(MAPS, st.permutations([-1, 0, 1, 2, 3, 4, 5, 9, 70000]))
def test_every_mask_is_encoded_as_pycocotools_does(ids: np.ndarray, wanted: list[int]) -> None:
    table = np.array([0, 1, 2, 3, 4, 70000, -1], np.int32)
    ids = table[ids]
    codes = encode_masks(ids, wanted)
    assert len(codes) == len(wanted)
    for name, code in zip(wanted, codes, strict=True):
        assert code == coder.encode(np.asfortranarray(ids == name, dtype=np.uint8))
        assert (decode_mask(code) == (ids == name)).all()


@given(arrays.arrays(np.bool_, SIZES), st.tuples(*[st.integers(0, 3)] * 4))
def test_a_crop_is_encoded_as_the_whole_mask(crop: np.ndarray, margins: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = margins
    whole = np.pad(crop, ((top, bottom), (left, right)))
    expected = coder.encode(np.asfortranarray(whole, dtype=np.uint8))
    assert encode_crop(crop, (top, left), (whole.shape[0], whole.shape[1])) == expected


def test_no_id_gives_no_mask() -> None:
    assert encode_masks(np.zeros((3, 4), np.int32), []) == []


@given(MAPS, MAPS)
def test_a_run_begins_where_any_map_changes(first: np.ndarray, second: np.ndarray) -> None:
    second = np.resize(second, first.shape)
    change = (np.diff(first.ravel()) != 0) | (np.diff(second.ravel()) != 0)
    wanted = [0, *(np.flatnonzero(change) + 1)]
    assert run_starts(first, second).tolist() == wanted


def test_the_place_of_a_value_among_names_in_any_order() -> None:
    values = np.array([7, 70000, 3, 8, -1])
    assert index_of(values, [70000, 3, 7]).tolist() == [2, 0, 1, -1, -1]
    assert index_of(values, []).tolist() == [-1] * 5


@given(arrays.arrays(np.uint8, SIZES, elements=st.integers(0, 1)))
def test_run_lengths_of_a_file_stay_what_they_are(mask: np.ndarray) -> None:
    code = coder.encode(np.asfortranarray(mask))
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    plain = [0, *runs] if flat[0] else runs
    for counts in (code["counts"], code["counts"].decode(), plain):
        assert annotation_to_rle({"size": list(mask.shape), "counts": counts}, mask.shape) == code


def test_polygons_are_filled_as_pycocotools_does_and_joined() -> None:
    shapes = [[2.0, 2.0, 8.5, 2.0, 8.0, 8.0, 2.0, 8.0], [9.0, 1.0, 12.0, 1.0, 12.0, 4.0]]
    code = annotation_to_rle([*shapes, [1.0, 1.0, 2.0, 2.0]], (10, 14))  # two points are no polygon
    assert code == coder.merge(coder.frPyObjects(shapes, 10, 14))
    assert not decode_mask(annotation_to_rle([], (3, 4))).any()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [3, 4], "counts": [5, 6]}, "its runs sum to 11, the image has 12 pixels"),
        ({"size": [3, 4], "counts": [14, -2]}, "its runs sum to 12"),
        ({"size": [4, 3], "counts": [12]}, r"its size is \[4, 3\], the image \[3, 4\]"),
        ({"size": [3, 4], "counts": ""}, "not compressed run lengths"),
        ({"size": [3, 4], "counts": "é"}, "not compressed run lengths"),
        ({"size": [3, 4], "counts": "Q"}, "not compressed run lengths"),  # a character is to follow
        ({"size": [3, 4], "counts": "o" * 12 + "0"}, "beyond 32 bits"),
        ([[0.0, 0.0, 1e9, 0.0, 1.0, 1.0]], "far outside of 4x3 pixels"),
    ],
)
def test_what_would_be_read_beyond_its_end_is_refused(segmentation: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        annotation_to_rle(segmentation, (3, 4))
