from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.data import trees

from segwright.data.datasets.voc import CLASSES, Voc
from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError

FOLDER = "VOCdevkit/VOC2012"


@pytest.mark.parametrize("subfolder", ["", "VOCdevkit", FOLDER])
def test_the_root_may_be_any_folder_of_the_development_kit(tmp_path: Path, subfolder: str) -> None:
    root = trees.voc(tmp_path) / subfolder
    assert [len(Voc().open(root, split)) for split in ("train", "val", "trainval", "test")] == [2, 1, 3, 1]
    sample = Voc().open(root, "train")[0]
    assert (sample.map == trees.stripes(0, 15, 15, 255, 1)).all()
    assert (CLASSES.to_raw(sample.map) == sample.map).all()
    assert Voc().open(root, "test").ground_truth is None


def test_the_masks_of_sbd_have_their_own_training_list(tmp_path: Path) -> None:
    root = trees.voc(tmp_path)
    config = Voc(masks="SegmentationClassAug")
    assert len(config.open(root, "train")) == len(config.open(root, "train_aug")) == 3
    assert len(config.open(root, "val")) == 1
    assert (config.open(root, "train")[2].map == trees.stripes(0, 15, 15, 255, 20)).all()


def test_lists_may_contain_ids_or_files(tmp_path: Path) -> None:
    root = trees.voc(tmp_path / "data")
    lists = str(tmp_path / "{split}.txt")
    trees.write(tmp_path / "train_aug.txt", "2007_s\n\n")
    trees.write(tmp_path / "val.txt", "/JPEGImages/2007_c.jpg /SegmentationClassAug/2007_c.png\n")
    config = Voc(masks="SegmentationClassAug", lists=lists)
    assert [config.open(root, split).images[0].name for split in ("train", "val")] == [
        "2007_s.jpg",
        "2007_c.jpg",
    ]


def test_objects_become_segments_and_their_borders_void(tmp_path: Path) -> None:
    sample = Voc(instances=True).open(trees.voc(tmp_path), "train")[0]
    assert sample.segments is not None
    assert sorted(s.class_index for s in sample.segments) == [0, 1, 15, 15]
    assert not any(s.crowd for s in sample.segments)
    border = trees.stripes(0, 15, 15, 255, 1) == 255
    assert ((sample.map == 0) == border).all()


def test_raw_values_of_the_real_sample_are_restored(shared: Path, tmp_path: Path) -> None:
    sample = shared / "data" / "voc_sample"
    if not sample.is_dir():
        pytest.skip(f"no VOC sample at {sample}")
    for name in ("JPEGImages", "SegmentationClass", "SegmentationObject"):
        (tmp_path / name).symlink_to(sample / name)
    trees.write(tmp_path / "ImageSets" / "Segmentation" / "val.txt", "2007_000063\n")
    data = Voc().open(tmp_path, "val")
    raw = read_map(data.files(0)[1])
    assert (data.labels.to_raw(data[0].map) == raw).all()
    with_objects = Voc(instances=True).open(tmp_path, "val")
    assert with_objects.problems(0) == []
    panoptic = with_objects[0]
    assert panoptic.segments is not None
    assert sorted(CLASSES.names[s.class_index] for s in panoptic.segments) == ["background", "chair", "dog"]
    assert (panoptic.semantic() == data[0].map).all()


def _damage(folder: Path, damage: str) -> None:
    mask, objects = folder / "SegmentationClass" / "2007_a.png", folder / "SegmentationObject" / "2007_a.png"
    list_file = folder / "ImageSets" / "Segmentation" / "train.txt"
    {
        "colors": lambda: write_png(mask, np.full((*trees.SIZE, 3), (1, 2, 3), np.uint8)),
        "value": lambda: write_png(mask, trees.stripes(0, 21)),
        "size": lambda: write_png(objects, np.ones((4, 4), np.uint8)),
        "mask": mask.unlink,
        "objects": objects.unlink,
        "image": (folder / "JPEGImages" / "2007_a.jpg").unlink,
        "list": list_file.unlink,
        "empty": lambda: list_file.write_text(" \n"),
    }[damage]()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("colors", r"2007_a\.png: 3 channels; expected one channel.*convert"),
        ("value", r"2007_a\.png: value 21 is no class of 'voc'"),
        ("size", r"2007_a\.png: 4x4, its class map .* is 16x12; expected equal sizes"),
        ("mask", r"2007_a\.png: no such file.*add the class mask or remove the image"),
        ("objects", r"2007_a\.png: no such file.*add the object mask or remove the image"),
        ("image", r"2007_a\.jpg: no such file \(1 of the 2 images that .*train\.txt names"),
        ("list", r"train\.txt: no such list; expected a text file with one image per line; add it"),
        ("empty", r"train\.txt: an empty list"),
    ],
)
def test_a_damaged_file_is_reported_with_a_remedy(tmp_path: Path, damage: str, message: str) -> None:
    _damage(trees.voc(tmp_path) / FOLDER, damage)
    with pytest.raises(UserError, match=message):
        _ = Voc(instances=True).open(tmp_path, "train")[0]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"contains neither JPEGImages nor VOCdevkit/VOC2012.*check --data"):
        Voc().open(tmp_path, "train")
