"""Tables of class names and colors beside masks: what the masks have decides how they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segwright.data.datasets import OwnData
from segwright.errors import UserError

TABLE = "name,r,g,b\nsky,10,20,30\nroad,200,0,0\ncar,0,200,0\n"
COLORS = np.array([(10, 20, 30), (200, 0, 0), (0, 200, 0)], np.uint8)
CLASSES = np.array([[0, 1, 2, 1]] * 4, np.uint8)


def folder(root: Path, *masks: NDArray[np.uint8], table: str = TABLE) -> Path:
    """Images with these masks, and the table."""
    for index, mask in enumerate(masks):
        for name, values in (("images", np.full((*mask.shape[:2], 3), 9, np.uint8)), ("masks", mask)):
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(root / name / f"{index:03}.png")
    (root / "class_dict.csv").write_text(table)
    return root


def maps(root: Path) -> list[NDArray[np.uint8]]:
    dataset = OwnData(task="semantic", val_share=0).open(root, "train")
    assert dataset.labels.names[-1] in ("car", "crack")
    return [dataset[index].map for index in range(len(dataset))]


def test_color_masks_are_known_from_later_masks_if_the_first_one_is_gray(tmp_path: Path) -> None:
    (first, second) = maps(folder(tmp_path, np.zeros((4, 4), np.uint8), COLORS[CLASSES]))
    assert (second - second.min() == CLASSES).all()
    assert len(np.unique(first)) == 1 and first[0, 0] not in second


@pytest.mark.parametrize("as_rgb", [False, True], ids=["gray", "three equal channels"])
def test_values_that_are_no_colors_of_the_table_are_positions_in_it(as_rgb: bool, tmp_path: Path) -> None:
    mask = np.repeat(CLASSES[..., None], 3, axis=2) if as_rgb else CLASSES
    (only, _) = maps(folder(tmp_path, mask, mask))
    assert (only == CLASSES).all()


def test_gray_levels_of_the_table_are_its_classes(tmp_path: Path) -> None:
    table = "name,r,g,b\nbackground,0,0,0\ncrack,255,255,255\n"
    mask = np.array([[0, 255]] * 4, np.uint8)
    (empty, crack) = maps(folder(tmp_path, np.zeros((4, 2), np.uint8), mask, table=table))
    assert not empty.any()
    assert (crack == mask // 255).all()  # 255 is the crack, and not ignored


def test_colors_that_the_table_lacks_are_named_with_the_first_mask_that_has_one(tmp_path: Path) -> None:
    odd = COLORS[CLASSES]
    odd[0, 0], odd[0, 1] = (1, 2, 3), (4, 5, 6)
    root = folder(tmp_path, COLORS[CLASSES], odd)
    message = r"masks/001\.png: class_dict\.csv has no class of #010203, #040506; expected every color"
    with pytest.raises(UserError, match=message):
        maps(root)
    many = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    with pytest.raises(UserError, match=r"no class of #000102, #030405, #060708, #090a0b and 12 more"):
        maps(folder(tmp_path / "many", many, many))


def test_values_beyond_the_table_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"001\.png: class_dict\.csv has no class of 7; expected every value"):
        maps(folder(tmp_path, CLASSES, np.full((4, 4), 7, np.uint8)))


def test_a_table_beside_voc_folders_follows_the_same_rules(tmp_path: Path) -> None:
    root = folder(tmp_path, np.zeros((4, 4), np.uint8), COLORS[CLASSES])
    (root / "images").rename(root / "JPEGImages")
    (root / "masks").rename(root / "SegmentationClass")
    assert len(np.unique(maps(root)[1])) == 3
    Image.fromarray(np.full((4, 4, 3), 77, np.uint8)).save(root / "SegmentationClass" / "001.png")
    with pytest.raises(UserError, match=r"001\.png: class_dict\.csv has no class of "):
        maps(root)
