from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.data import trees

from segwright.data.datasets.kitti_step import CLASSES, TRAIN, VAL, KittiStep
from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError


def test_the_official_splits_contain_all_21_sequences() -> None:
    assert sorted((*TRAIN, *VAL)) == list(range(21))
    assert (len(TRAIN), len(VAL)) == (12, 9)


@pytest.mark.parametrize("images", ["images", "image_02", "training/image_02"])
@pytest.mark.parametrize("maps", ["panoptic", "panoptic_maps"])
def test_sequences_in_one_folder_are_split_by_the_official_lists(
    tmp_path: Path, images: str, maps: str
) -> None:
    root = trees.kitti_step(tmp_path, images, maps)
    train, val = (KittiStep().open(root, split) for split in ("train", "val"))
    assert [data[0].name for data in (train, val)] == ["0000_000000", "0002_000000"]
    assert (len(train), len(val)) == (2, 2)


def test_folders_per_split_take_precedence_over_the_official_lists(tmp_path: Path) -> None:
    trees.kitti_step(tmp_path, "images/train", "panoptic_maps/train")
    data = KittiStep().open(tmp_path, "train")
    assert [data[index].name for index in range(4)] == [
        "0000_000000",
        "0000_000001",
        "0002_000000",
        "0002_000001",
    ]
    with pytest.raises(
        UserError, match=r"images: contains no sequence of split 'val'; expected folders such as 0002"
    ):
        KittiStep().open(tmp_path, "val")


def test_only_persons_and_cars_are_things_and_instance_0_is_a_crowd(tmp_path: Path) -> None:
    sample = KittiStep().open(trees.kitti_step(tmp_path), "train")[0]
    assert sample.segments is not None
    assert [(s.class_index, s.crowd) for s in sample.segments] == [
        (0, False), (12, False), (13, True), (13, False), (13, False),
    ]  # fmt: skip
    assert (sample.semantic() == trees.stripes(0, 13, 13, 13, 12, 255)).all()
    assert (CLASSES.to_raw(sample.semantic()) == sample.semantic()).all()


@pytest.mark.parametrize("folder", ["images/test", "testing/image_02"])
def test_the_test_split_has_no_ground_truth(tmp_path: Path, folder: str) -> None:
    trees.photo(tmp_path / folder / "0001" / "000000.png")
    data = KittiStep().open(tmp_path, "test")
    assert (data[0].name, data.ground_truth) == ("0001_000000", None)


def test_the_real_sample_opens(shared: Path) -> None:
    root = shared / "data" / "kitti_step_sample"
    if not root.is_dir():
        pytest.skip(f"no KITTI-STEP sample at {root}")
    data = KittiStep().open(root, "train")
    assert len(data) == 11
    for index in (0, 10):
        sample = data[index]
        raw = read_map(data.files(index)[1], "rgb")
        assert sample.image.shape == raw.shape == (375, 1242, 3)
        assert (sample.semantic() == raw[..., 0]).all()
        assert sample.segments is not None
        numbers = {(s.class_index, s.id - 1 & 0xFFFF) for s in sample.segments if s.class_index in (11, 13)}
        instance = raw[..., 1].astype(int) * 256 + raw[..., 2]
        is_thing = np.isin(raw[..., 0], (11, 13))
        assert numbers == {
            (int(c), int(i)) for c, i in zip(raw[..., 0][is_thing], instance[is_thing], strict=True)
        }


def _damage(path: Path, damage: str) -> None:
    {
        "missing": path.unlink,
        "class": lambda: write_png(path, np.full((*trees.SIZE, 3), 19, np.uint8)),
        "index": lambda: write_png(path, np.zeros(trees.SIZE, np.uint8)),
        "size": lambda: write_png(path, np.zeros((3, 3, 3), np.uint8)),
    }[damage]()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", r"0000/000001\.png: no such file \(missing for 1 of 2 images.*add the panoptic map"),
        ("class", r"0000/000001\.png: value 19 is no class of 'kitti_step'"),
        ("index", r"0000/000001\.png: 1 channels; expected three channels.*check which kind of map"),
        ("size", r"0000/000001\.png: the ground truth is 3x3, its image .* is 16x12"),
    ],
)
def test_damaged_maps_are_named(tmp_path: Path, damage: str, message: str) -> None:
    _damage(trees.kitti_step(tmp_path) / "panoptic" / "0000" / "000001.png", damage)
    with pytest.raises(UserError, match=message):
        _ = KittiStep().open(tmp_path, "train")[1]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"contains neither images/ nor .*check --data and the split"):
        KittiStep().open(tmp_path, "train")
