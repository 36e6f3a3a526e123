"""PNG files that Pillow and OpenCV read back as they were."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from segwright.data.reading.label_maps import read_map, write_png
from segwright.data.reading.png_encoder import encode_png

SIDES = st.integers(1, 20)
SHAPES = st.one_of(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES, st.just(3)))


@settings(deadline=None)
@given(arrays.arrays(np.uint8, SHAPES) | arrays.arrays(np.uint16, st.tuples(SIDES, SIDES)))
def test_other_readers_give_the_array_back(array: np.ndarray) -> None:
    data = encode_png(array)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded.dtype == array.dtype
    assert (decoded == (array[..., ::-1] if array.ndim == 3 else array)).all()


@given(arrays.arrays(np.uint8, st.tuples(SIDES, SIDES), elements=st.integers(0, 4)))
@settings(deadline=None)
def test_a_palette_gives_colors_and_keeps_the_indices(indices: np.ndarray) -> None:
    palette = np.array([[0, 0, 0], [255, 0, 0], [1, 2, 3], [9, 8, 7], [255, 255, 255]], np.uint8)
    with Image.open(io.BytesIO(encode_png(indices, palette))) as image:
        assert (np.array(image) == indices).all()
        assert (np.array(image.convert("RGB")) == palette[indices]).all()


def test_strided_arrays_are_written_as_they_look(tmp_path: Path) -> None:
    array = np.arange(600, dtype=np.uint16).reshape(20, 30)[::2, 1::3]
    write_png(tmp_path / "sub" / "a.png", array)
    assert (read_map(tmp_path / "sub" / "a.png") == array).all()


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OSError, match=r"a\.png"):
        write_png(tmp_path / "a.png", np.zeros((2, 2), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("array", [np.zeros((2, 2)), np.zeros((2, 0), np.uint8), np.zeros(3, np.uint8)])
def test_anything_else_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected uint8 or uint16"):
        encode_png(array)
