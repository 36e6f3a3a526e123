from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from segwright.data.reading.label_maps import pack_rgb, read_map, unique_values, unpack_rgb, write_png
from segwright.errors import UserError


def test_palette_gray_16_bit_and_bit_maps_give_their_values(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    palette = Image.fromarray(values, mode="P") if hasattr(Image, "ADAPTIVE") else Image.fromarray(values)
    palette.putpalette([7] * 768)
    palette.save(tmp_path / "p.png")
    write_png(tmp_path / "l.png", values)
    write_png(tmp_path / "i.png", values.astype(np.uint16) * 5000)
    Image.fromarray(values > 5).save(tmp_path / "b.png")
    np.save(tmp_path / "n.npy", values.astype(np.int32))
    assert (read_map(tmp_path / "p.png") == values).all()
    assert (read_map(tmp_path / "l.png") == values).all()
    assert (read_map(tmp_path / "i.png") == values.astype(int) * 5000).all()
    assert (read_map(tmp_path / "b.png") == (values > 5)).all()
    assert (read_map(tmp_path / "n.npy") == values).all()


def test_a_map_in_colors_is_refused_where_indices_are_expected(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.zeros((3, 4, 3), np.uint8))
    with pytest.raises(
        UserError, match=r"a\.png: 3 channels; expected one channel of class values.*convert rgb"
    ):
        read_map(tmp_path / "a.png")


def test_an_alpha_channel_does_not_make_a_color_map_another_kind(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 3), (9, 8, 7, 255)).save(tmp_path / "a.png")
    assert read_map(tmp_path / "a.png", "rgb").tolist()[0][0] == [9, 8, 7]
    with pytest.raises(UserError, match="1 channels; expected three channels"):
        write_png(tmp_path / "l.png", np.zeros((3, 4), np.uint8))
        read_map(tmp_path / "l.png", "rgb")


def test_a_map_stored_as_jpeg_is_refused(tmp_path: Path) -> None:
    Image.new("L", (4, 3), 5).save(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg: a map stored as JPEG, which changes its values"):
        read_map(tmp_path / "a.jpg")


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3))))
def test_packed_colors_come_back(colors: np.ndarray) -> None:
    assert (unpack_rgb(pack_rgb(colors)) == colors).all()


@given(
    arrays.arrays(
        np.int32, st.tuples(st.integers(0, 8), st.integers(0, 8)), elements=st.integers(-5, 40_000_000)
    )
)
def test_the_values_that_occur_are_those_of_numpy(ids: np.ndarray) -> None:
    assert unique_values(ids).tolist() == np.unique(ids).tolist()
