from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data import trees

from segwright.data.datasets.bdd100k import CLASSES, PANOPTIC_CLASSES, Bdd100k
from segwright.data.reading.label_maps import write_png
from segwright.errors import UserError


def test_the_panoptic_classes_are_30_of_stuff_and_10_of_things() -> None:
    assert len(PANOPTIC_CLASSES) == 40
    assert len(PANOPTIC_CLASSES.things) == 10
    assert PANOPTIC_CLASSES.raw_values[PANOPTIC_CLASSES.names.index("car")] == 35


@pytest.mark.parametrize("subfolder", ["", "bdd100k"])
def test_masks_contain_the_19_classes(tmp_path: Path, subfolder: str) -> None:
    trees.bdd100k(tmp_path / subfolder)
    for split in ("train", "val"):
        sample = Bdd100k().open(tmp_path, split)[0]
        assert (sample.map == trees.stripes(0, 10, 13, 11, 255)).all()
        assert (CLASSES.to_raw(sample.map) == sample.map).all()


def test_bitmasks_contain_segments_with_crowds_and_ignored_ones(tmp_path: Path) -> None:
    sample = Bdd100k(truth="pan_seg").open(trees.bdd100k(tmp_path), "train")[0]
    assert sample.segments is not None
    segments = [(PANOPTIC_CLASSES.names[s.class_index], s.crowd) for s in sample.segments]
    assert sorted(segments) == [("car", False), ("person", True), ("sky", False)]
    assert (PANOPTIC_CLASSES.to_raw(sample.semantic()) == trees.stripes(0, 30, 35, 31, 0)).all()


@pytest.mark.parametrize("truth", ["sem_seg", "pan_seg"])
def test_the_test_split_has_no_ground_truth(tmp_path: Path, truth: str) -> None:
    assert Bdd100k(truth=truth).open(trees.bdd100k(tmp_path), "test").ground_truth is None


def _damage(root: Path, damage: str) -> None:
    mask = root / "labels" / "sem_seg" / "masks" / "val" / "0a0a.png"
    bitmask = root / "labels" / "pan_seg" / "bitmasks" / "val" / "0a0a.png"
    {
        "mask": mask.unlink,
        "value": lambda: write_png(mask, trees.stripes(0, 19)),
        "bitmask": bitmask.unlink,
        "category": lambda: Image.fromarray(np.full((*trees.SIZE, 4), (41, 0, 0, 1), np.uint8)).save(bitmask),
        "channels": lambda: write_png(bitmask, np.zeros((*trees.SIZE, 3), np.uint8)),
    }[damage]()


@pytest.mark.parametrize(
    ("damage", "truth", "message"),
    [
        ("mask", "sem_seg", r"masks/val/0a0a\.png: no such file.*add the sem_seg map"),
        ("value", "sem_seg", r"0a0a\.png: value 19 is no class of 'bdd100k'"),
        ("bitmask", "pan_seg", r"bitmasks/val/0a0a\.png: no such file.*add the pan_seg map"),
        ("category", "pan_seg", r"0a0a\.png: value 41 is no class of 'bdd100k_panoptic'"),
        ("channels", "pan_seg", r"0a0a\.png: 3 channels; expected four channels.*check which kind"),
    ],
)
def test_a_damaged_file_is_reported_with_a_remedy(
    tmp_path: Path, damage: str, truth: str, message: str
) -> None:
    _damage(trees.bdd100k(tmp_path), damage)
    with pytest.raises(UserError, match=message):
        _ = Bdd100k(truth=truth).open(tmp_path, "val")[0]


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"images/10k/minival: no such folder.*check --data and the split"):
        Bdd100k().open(trees.bdd100k(tmp_path), "minival")
