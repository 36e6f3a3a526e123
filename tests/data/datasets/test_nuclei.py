from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.data.trees import photo, stripes

from segwright.data.datasets.nuclei import Nuclei
from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError
from segwright.samples import Segment


def test_every_nucleus_of_the_real_images_is_counted(shared: Path) -> None:
    root = shared / "data" / "nuclei"
    if not root.is_dir():
        pytest.skip(f"no nuclei at {root}")
    counts = []
    for split, images in (("train", 120), ("val", 30)):
        data = Nuclei().open(root, split)
        assert len(data) == images
        for index in range(images):
            ids, segments = data[index].map, data[index].segments
            assert segments is not None
            assert (ids == read_map(data.files(index)[1])).all()
            assert {s.class_index for s in segments} == {0}
            counts.append(len(segments))
    assert (sum(counts), max(counts)) == (4825, 131)


def tree(root: Path) -> Path:
    for split in ("train", "val"):
        for name, dtype in (("a", np.uint8), ("b", np.uint16)):
            photo(root / split / "images" / f"{name}.png")
            write_png(root / split / "instances" / f"{name}.png", stripes(0, 3, 200, kind=dtype))
    return root


def test_maps_of_8_and_16_bits_are_read_alike(tmp_path: Path) -> None:
    data = Nuclei().open(tree(tmp_path), "val")
    assert (data[0].map == data[1].map).all()
    assert data[0].segments == (Segment(3, 0), Segment(200, 0))
    assert data[0].map.dtype == np.int32


def test_a_map_of_another_size_or_missing_is_refused(tmp_path: Path) -> None:
    data = Nuclei().open(tree(tmp_path), "train")
    path = data.files(0)[1]
    write_png(path, np.zeros((12, 10), np.uint8))
    with pytest.raises(
        UserError, match=r"a\.png: the ground truth is 10x12, its image .* export one of them again"
    ):
        _ = data[0]
    path.unlink()
    with pytest.raises(UserError, match=r"a\.png: no such file.*add the map or remove the image"):
        Nuclei().open(tmp_path, "train")


def test_only_train_needs_maps(tmp_path: Path) -> None:
    photo(tmp_path / "test" / "images" / "a.png")
    photo(tmp_path / "train" / "images" / "a.png")
    assert (Nuclei().open(tmp_path, "test")[0].map == 255).all()
    with pytest.raises(
        UserError, match=r"instances: does not exist; expected a folder of maps of instance numbers"
    ):
        Nuclei().open(tmp_path, "train")
