from __future__ import annotations

from pathlib import Path

import pytest
from tests.data import trees

from segwright.data.datasets.cityscapes import CLASSES
from segwright.data.datasets.minicity import MiniCity
from segwright.errors import UserError


def test_flat_folders_are_read_with_the_classes_of_cityscapes(tmp_path: Path) -> None:
    root = trees.cityscapes(tmp_path, flat=True, panoptic=False)
    data = MiniCity().open(root, "train")
    assert data.labels == CLASSES
    assert len(data) == 4
    assert (data[3].map == trees.stripes(*trees.TRAIN_IDS)).all()
    assert len(MiniCity().open(root, "trainval")) == 6
    sample = MiniCity(truth="instances").open(root, "val")[0]
    assert sample.segments is not None
    assert sum(segment.class_index == 13 for segment in sample.segments) == 2
    assert (sample.semantic() == trees.stripes(*trees.TRAIN_IDS)).all()


def test_test_has_no_truth(tmp_path: Path) -> None:
    assert (
        MiniCity().open(trees.cityscapes(tmp_path, flat=True, panoptic=False), "test")[0].map == 255
    ).all()


def test_a_missing_map_is_named(tmp_path: Path) -> None:
    root = trees.cityscapes(tmp_path, flat=True, panoptic=False)
    (root / "gtFine" / "val" / "lindau_000001_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(
        UserError, match=r"lindau_000001_000019_gtFine_labelIds\.png: no such file.*remove the image"
    ):
        MiniCity().open(root, "val")
