from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.coco_trees import CATEGORIES, panoptic, read, save
from tests.data.trees import photo, stripes, write

from segwright.data.datasets.panoptic_folder import PanopticFolder
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.label_maps import write_png
from segwright.errors import UserError

CLASSES = "classes: {road: 1, car: {raw: 2, thing: true}, person: {raw: 3, thing: true}}\nignored: 0\n"


def tree(root: Path) -> Path:
    for split in ("train", "val"):
        for name in ("a", "b c"):
            photo(root / "images" / split / f"{name}.jpg")
            write_png(root / "labels" / split / f"{name}.png", stripes(0, 1, 2, 2, 3, 3))
            write_png(root / "instances" / split / f"{name}.png", stripes(9, 0, 1, 300, 2, 0, kind=np.uint16))
    write(root / "classes.yaml", CLASSES)
    return root


def opened(root: Path, split: str = "train", **fields: Any) -> ImageDataset:
    data = PanopticFolder(**fields).open(root, split)
    assert isinstance(data, ImageDataset)
    return data


def test_two_maps_make_segments_and_instance_0_of_a_thing_is_a_crowd(tmp_path: Path) -> None:
    data = opened(tree(tmp_path))
    sample = data[0]
    assert [(s.class_index, s.crowd) for s in sample.segments or ()] == [
        (0, False), (1, False), (1, False), (2, True), (2, False),
    ]  # fmt: skip
    assert (sample.semantic() == stripes(255, 0, 1, 1, 2, 2)).all()
    assert [path.name for path in data.files(1)] == ["b c.jpg", "b c.png", "b c.png"]
    assert data.problems(0) == []


def test_8_bit_instance_maps_with_a_suffix_are_read(tmp_path: Path) -> None:
    root = tree(tmp_path)
    for path in sorted((root / "instances").rglob("*.png")):
        write_png(path.with_name(f"{path.stem}_id.png"), stripes(0, 0, 1, 2, 3, 0))
        path.unlink()
    assert len(opened(root, instances_suffix="_id")[0].segments or ()) == 5


def test_coco_panoptic_is_read_if_its_json_file_exists(tmp_path: Path) -> None:
    panoptic(tmp_path / "coco")
    shutil.copytree(tmp_path / "coco/val2017", tmp_path / "mine/images/val")
    shutil.copytree(tmp_path / "coco/annotations/panoptic_val2017", tmp_path / "mine/panoptic_val")
    shutil.copy(tmp_path / "coco/annotations/panoptic_val2017.json", tmp_path / "mine/panoptic_val.json")
    data = opened(tmp_path / "mine", "val")
    assert data.labels.names == tuple(row["name"] for row in CATEGORIES)
    assert len(data[0].segments or ()) == 3
    (tmp_path / "mine/images").rename(tmp_path / "mine/photos")
    with pytest.raises(UserError, match=r"no images of split 'val'; .*set data\.images"):
        opened(tmp_path / "mine", "val")
    values = read(tmp_path / "mine/panoptic_val.json")
    save(tmp_path / "mine/panoptic_val.json", values | {"categories": []})
    with pytest.raises(UserError, match=r"panoptic_val\.json: has no 'categories'"):
        opened(tmp_path / "mine", "val", images="photos")


def test_only_train_needs_maps(tmp_path: Path) -> None:
    root = tree(tmp_path)
    photo(root / "images/test/a.jpg")
    assert opened(root, "test")[0].segments is None
    shutil.rmtree(root / "instances/val")
    with pytest.raises(UserError, match=r"no folder 'instances' of split 'val'; .*set data\.maps"):
        opened(root, "val")
    shutil.rmtree(root / "labels")
    with pytest.raises(UserError, match="no folder 'labels' of split 'train'"):
        opened(root)


def test_an_instance_map_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    root = tree(tmp_path)
    path = root / "instances/train/a.png"
    write_png(path, np.ones((12, 9), np.uint8))
    with pytest.raises(
        UserError, match=r"instances/train/a\.png: 9x12, its class map .* is 16x12; expected equal"
    ):
        _ = opened(root)[0]
    photo(path)
    with pytest.raises(UserError, match=r"a\.png: 3 channels; expected one channel"):
        _ = opened(root)[0]
    path.unlink()
    with pytest.raises(UserError, match=r"a\.png: no such file.*one instance map per image"):
        opened(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "classes: {road: 1, car: 2, person: 3}\nignored: 0",
            "no class .* is a thing; .*write 'thing: true'",
        ),
        (
            "classes: {road: '#010101', car: {raw: '#020202', thing: true}}",
            "codes classes as colors; .*convert rgb",
        ),
    ],
)
def test_a_label_map_must_define_things(tmp_path: Path, text: str, message: str) -> None:
    root = tree(tmp_path)
    write(root / "classes.yaml", text)
    with pytest.raises(UserError, match=message):
        opened(root)


def test_maps_without_an_image_are_reported(tmp_path: Path) -> None:
    (tree(tmp_path) / "images/train/a.jpg").unlink()
    assert [path.parent.parent.name for path in opened(tmp_path).unmatched_maps] == ["labels", "instances"]
