from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.data.trees import photo, stripes

from segwright.data.datasets.coco_stuff import CLASSES, CocoStuff
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError

GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)  # categories that were never annotated


def test_the_171_classes_are_the_182_ids_without_the_known_gaps(shared: Path) -> None:
    rows = json.loads((shared / "tables" / "coco_panoptic.json").read_text())
    ids = [raw + 1 for raw in CLASSES.raw_values]
    assert ids == [i for i in range(1, 183) if i not in GAPS]
    names = dict(zip(ids, CLASSES.names, strict=True))
    common = [row for row in rows if row["id"] <= 182]  # the larger ids are merged classes of COCO panoptic
    assert len(common) == 80 + 36
    assert all(names[row["id"]] == row["name"] for row in common)
    assert len(CLASSES.things) == 80
    assert len(set(CLASSES.colors)) == 171
    assert (names[92], names[106], names[169], names[182]) == ("banner", "clouds", "tree", "wood")


def test_the_real_maps_contain_only_these_classes(shared: Path) -> None:
    root = shared / "data" / "coco_panoptic_sample" / "coco_stuff"
    if not root.is_dir():
        pytest.skip(f"no COCO-Stuff at {root}")
    data = CocoStuff(images="{split}_img", maps="{split}_label").open(root, "train")
    assert isinstance(data, ImageDataset)
    assert len(data) == 13
    names: set[str] = set()
    for index in range(13):
        sample = data[index]
        raw = read_map(data.files(index)[1])
        assert ((sample.map == 255) == (raw == 255)).all()
        assert (data.labels.to_raw(sample.map) == raw).all()
        names |= {CLASSES.names[i] for i in np.unique(sample.map) if i != 255}
    assert {"person", "clouds", "sea"} <= names
    assert not data.unmatched_maps


def tree(root: Path) -> Path:
    for name in ("a", "b"):
        photo(root / "train2017" / f"{name}.jpg")
        write_png(root / "stuffthingmaps/train2017" / f"{name}.png", stripes(0, 91, 181, 255))
    photo(root / "test2017" / "c.jpg")
    return root


def test_the_layout_of_the_download_opens(tmp_path: Path) -> None:
    data = CocoStuff().open(tree(tmp_path), "train")
    assert np.unique(data[0].map).tolist() == [0, 80, 170, 255]
    assert (CocoStuff().open(tmp_path, "test")[0].map == 255).all()


def test_missing_files_and_unknown_values_are_refused(tmp_path: Path) -> None:
    tree(tmp_path)
    path = tmp_path / "stuffthingmaps/train2017/a.png"
    write_png(path, stripes(0, 11))
    with pytest.raises(UserError, match=r"a\.png: value 11 is no class of 'coco_stuff'"):
        _ = CocoStuff().open(tmp_path, "train")[0]
    path.unlink()
    with pytest.raises(UserError, match=r"a\.png: no such file \(missing for 1 of 2 images"):
        CocoStuff().open(tmp_path, "train")
    with pytest.raises(UserError, match=r"maps: does not exist; .* set data\.maps"):
        CocoStuff(maps="maps").open(tmp_path, "train")
