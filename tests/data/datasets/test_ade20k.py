from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.data import trees

from segwright.data.datasets.ade20k import CLASSES, Ade20k
from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError

MAP = "ADEChallengeData2016/annotations/training/ADE_train_00000002.png"


def test_the_150_classes_have_150_names(shared: Path) -> None:
    assert len(CLASSES) == len(set(CLASSES.names)) == 150
    assert (CLASSES.names[58], CLASSES.names[130]) == ("screen door", "screen")
    table = shared / "data" / "ade_sample" / "sceneparsing" / "objectInfo150.csv"
    if not table.is_file():
        pytest.skip(f"no ADE20K sample at {table}")
    for row in table.read_text().splitlines()[1:]:
        index, *_, stuff, name = row.split(",")[:6]
        assert CLASSES.names[int(index) - 1].split()[0] == name.split(";")[0]
        assert (CLASSES.names[int(index) - 1] in CLASSES.things) == (stuff == "0")


@pytest.mark.parametrize("subfolder", ["", "ADEChallengeData2016"])
def test_the_root_may_be_the_archive_folder_or_its_parent(tmp_path: Path, subfolder: str) -> None:
    root = trees.ade20k(tmp_path) / subfolder
    assert [len(Ade20k().open(root, split)) for split in ("train", "val", "training", "test")] == [3, 2, 3, 1]
    sample = Ade20k().open(root, "train")[0]
    assert (sample.map == trees.stripes(255, 0, 58, 130, 149)).all()
    assert (CLASSES.to_raw(sample.map) == trees.stripes(0, 1, 59, 131, 150)).all()
    assert (Ade20k().open(root, "test")[0].map == 255).all()


@pytest.mark.parametrize("subfolder", ["", "ADEChallengeData2016"])
def test_odgt_lists_choose_the_images(tmp_path: Path, subfolder: str) -> None:
    root = trees.ade20k(tmp_path) / subfolder
    trees.odgt(tmp_path / "lists" / "train.odgt", 2)
    data = Ade20k(lists=str(tmp_path / "lists" / "{split}.odgt")).open(root, "train")
    assert len(data) == 2
    assert (data[1].map == trees.stripes(255, 0, 58, 130, 149)).all()
    trees.odgt(tmp_path / "lists" / "test.odgt", 1, truth=False)
    assert Ade20k(lists=str(tmp_path / "lists" / "{split}.odgt")).open(root, "test").ground_truth is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"train\.odgt: an empty list"),
        ("no json", r"train\.odgt: line 1 is not a JSON object with 'fpath_img'.*create it again"),
        ('{"fpath_img": 3}', r"train\.odgt: line 1 is not a JSON object"),
        (
            '{"fpath_img": "no.jpg"}',
            r"no\.jpg: no such file \(1 of the 1 images that .*train\.odgt names",
        ),
    ],
)
def test_a_bad_odgt_list_is_refused(tmp_path: Path, text: str, message: str) -> None:
    trees.write(trees.ade20k(tmp_path) / "train.odgt", text)
    with pytest.raises(UserError, match=message):
        Ade20k(lists="{split}.odgt").open(tmp_path, "train")


def test_an_odgt_list_with_a_missing_map_names_the_line(tmp_path: Path) -> None:
    path = trees.odgt(trees.ade20k(tmp_path) / "train.odgt", 2)
    first, second = path.read_text().splitlines()
    without = json.dumps({"fpath_img": json.loads(second)["fpath_img"]})
    path.write_text(f"{first}\n{without}\n")
    with pytest.raises(UserError, match=r"train\.odgt: line 2 has no 'fpath_segm', but others have"):
        Ade20k(lists="{split}.odgt").open(tmp_path, "train")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (trees.stripes(1, 151), r"00000002\.png: value 151 is no class of 'ade20k'"),
        (
            np.full((*trees.SIZE, 3), (1, 2, 3), np.uint8),
            r"00000002\.png: 3 channels; expected one channel.*convert",
        ),
        (np.ones((3, 4), np.uint8), r"00000002\.png: the ground truth is 4x3, its image .* is 16x12"),
    ],
)
def test_damaged_maps_are_named(tmp_path: Path, values: np.ndarray, message: str) -> None:
    write_png(trees.ade20k(tmp_path) / MAP, values)
    with pytest.raises(UserError, match=message):
        _ = Ade20k().open(tmp_path, "train")[1]


def test_a_missing_map_is_named(tmp_path: Path) -> None:
    (trees.ade20k(tmp_path) / MAP).unlink()
    with pytest.raises(
        UserError, match=r"ADE_train_00000002\.png: no such file \(missing for 1 of 3 images.*add the map"
    ):
        Ade20k().open(tmp_path, "train")


@pytest.mark.parametrize("split", ["train", "val"])
def test_raw_values_of_the_real_sample_are_restored(shared: Path, split: str) -> None:
    root = shared / "data" / "ade_sample" / "ADE20K_test_data"
    if not root.is_dir():
        pytest.skip(f"no ADE20K sample at {root}")
    data = Ade20k().open(root, split)
    sample, raw = data[0], read_map(data.files(0)[1])
    assert sample.image.shape[:2] == sample.map.shape == raw.shape
    assert (CLASSES.to_raw(sample.map) == raw).all()
