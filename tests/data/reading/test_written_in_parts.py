"""PNG and TIFF files that are written in parts hold the same pixels for every reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segwright.data.reading.label_maps import read_map
from segwright.data.reading.png_rows import write_png_rows
from segwright.data.reading.tiff_tiles import write_tiled_tiff


def array(height: int, width: int, kind: str) -> np.ndarray:
    random = np.random.default_rng(height * width)
    shape = (height, width, 3) if kind == "rgb" else (height, width)
    return random.integers(0, 1 << 16 if kind == "16 bits" else 256, shape).astype(
        np.uint16 if kind == "16 bits" else np.uint8
    )


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 50), st.integers(1, 50), st.integers(1, 20), st.sampled_from(["8 bits", "16 bits", "rgb"])
)
def test_a_png_written_in_blocks_of_rows(
    tmp_path_factory: Any, height: int, width: int, rows: int, kind: str
) -> None:
    values = array(height, width, kind)
    path = tmp_path_factory.mktemp("png") / "a.png"
    write_png_rows(path, (values[i : i + rows] for i in range(0, height, rows)), (height, width))
    decoded = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    assert ((decoded[..., ::-1] if kind == "rgb" else decoded) == values).all()
    with Image.open(path) as image:
        image.load()
        assert (np.asarray(image) == values).all()
    if kind != "rgb":
        assert (read_map(path) == values).all()


def test_a_palette_gives_the_map_its_colors(tmp_path: Path) -> None:
    values, palette = array(20, 30, "8 bits"), np.random.default_rng(0).integers(0, 255, (256, 3), np.uint8)
    write_png_rows(tmp_path / "a.png", [values], (20, 30), palette=palette)
    decoded = cv2.imread(str(tmp_path / "a.png"))
    assert decoded is not None and (decoded[..., ::-1] == palette[values]).all()
    assert (np.asarray(Image.open(tmp_path / "a.png")) == values).all()


@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "rgb"])
@pytest.mark.parametrize("size", [(1, 1), (512, 512), (513, 1100), (700, 300)])
def test_a_tiff_written_in_tiles(size: tuple[int, int], kind: str, tmp_path: Path) -> None:
    values, path = array(*size, kind), tmp_path / "a.tif"
    write_tiled_tiff(path, lambda rows, columns: values[rows, columns], size)
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].is_tiled and file.pages[0].compression.name == "ADOBE_DEFLATE"
        assert not file.is_bigtiff
    assert (tifffile.imread(path) == values).all()
    decoded = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    assert (decoded[..., ::-1] == values if kind == "rgb" else decoded == values).all()


def test_a_tiff_that_might_exceed_four_gigabytes_is_a_bigtiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segwright.data.reading.tiff_tiles._CLASSIC_BYTES", 100)
    values, path = array(20, 30, "8 bits"), tmp_path / "a.tif"
    write_tiled_tiff(path, lambda rows, columns: values[rows, columns], (20, 30))
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff and (file.asarray() == values).all()
