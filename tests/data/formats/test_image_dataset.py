from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segwright.data.check import quick_check
from segwright.data.datasets.camvid import CamVid
from segwright.data.reading.images import read_image
from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError


def fake_camvid(root: Path, *, train: int = 4, val: int = 2) -> Path:
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for index in range(count):
            write_png(root / split / f"{split}_{index}.png", random.integers(0, 255, (40, 56, 3), np.uint8))
            write_png(
                root / f"{split}annot" / f"{split}_{index}.png", random.integers(0, 12, (40, 56), np.uint8)
            )
    return root


def test_the_real_camvid_opens_with_its_counts(camvid: Path) -> None:
    train, val = (CamVid().open(camvid, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (367, 101)
    sample = train[0]
    assert sample.image.shape == (360, 480, 3)
    assert sample.map.shape == (360, 480)
    raw = read_map(train.files(0)[1])
    assert ((sample.map == 255) == (raw == 11)).all()
    assert (train.labels.to_raw(sample.map) == raw).all()


def test_the_held_out_part_and_the_rest_are_the_whole(camvid: Path) -> None:
    config = CamVid(train_part=(0.0, 2 / 3))
    kept, rest = config.open(camvid, "train"), config.open(camvid, "held_out")
    assert len(kept) + len(rest) == 367
    assert len(rest) == 122
    assert {path.name[:6] for path in rest.images} == {"0016E5"}


def test_a_split_without_maps_has_no_truth(tmp_path: Path) -> None:
    root = fake_camvid(tmp_path)
    for path in (root / "valannot").iterdir():
        path.unlink()
    (root / "valannot").rmdir()
    assert (CamVid().open(root, "val")[0].map == 255).all()


def test_reading_keeps_colors_in_order_and_honors_exif_orientation(tmp_path: Path) -> None:
    picture = Image.new("RGB", (20, 10), (200, 10, 30))
    exif = picture.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    image = read_image(tmp_path / "turned.jpg")
    assert image.shape == (20, 10, 3)
    assert np.abs(image.mean((0, 1)) - (200, 10, 30)).max() < 4


def test_palette_maps_give_indices_and_16_bit_maps_their_values(tmp_path: Path) -> None:
    values = np.array([[0, 3], [255, 7]], np.uint8)
    palette = Image.fromarray(values)
    palette.putpalette([index // 3 for index in range(768)])
    palette.save(tmp_path / "palette.png")
    assert (read_map(tmp_path / "palette.png") == values).all()
    cv2.imwrite(str(tmp_path / "deep.png"), values.astype(np.uint16) * 300)
    assert (read_map(tmp_path / "deep.png") == values.astype(np.uint16) * 300).all()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda root: (root / "train" / "train_1.png").write_bytes(b"no image"),
            r"train_1\.png: not an image",
        ),
        (
            lambda root: (root / "trainannot" / "train_1.png").unlink(),
            r"train_1\.png: no such file \(missing for 1 of 4",
        ),
        (
            lambda root: write_png(root / "trainannot" / "train_1.png", np.zeros((40, 57), np.uint8)),
            r"train_1\.png: the ground truth is 57x40, its image .* is 56x40",
        ),
        (
            lambda root: write_png(root / "trainannot" / "train_1.png", np.full((40, 56), 77, np.uint8)),
            r"train_1\.png: value 77 is no class of 'camvid'",
        ),
        (
            lambda root: write_png(
                root / "trainannot" / "train_1.png", np.full((40, 56, 3), (1, 2, 3), np.uint8)
            ),
            r"train_1\.png: 3 channels; expected one channel",
        ),
        (
            lambda root: [
                write_png(p, np.full((40, 56), 11, np.uint8)) for p in (root / "trainannot").iterdir()
            ],
            "train: all 4 checked maps are ignored everywhere",
        ),
    ],
)
def test_what_would_spoil_a_training_is_found_before_it(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    root = fake_camvid(tmp_path)
    damage(root)
    with pytest.raises(UserError, match=message):
        quick_check({split: CamVid().open(root, split) for split in ("train", "val")})


def test_an_image_in_two_splits_is_found(tmp_path: Path) -> None:
    data = CamVid().open(fake_camvid(tmp_path), "train")
    with pytest.raises(UserError, match=r"train_0\.png: in val is the same image as"):
        quick_check({"train": data, "val": data})


def test_sound_data_pass(tmp_path: Path) -> None:
    root = fake_camvid(tmp_path)
    quick_check({split: CamVid().open(root, split) for split in ("train", "val")})


@pytest.mark.parametrize(("root", "message"), [(None, "no --data given"), ("nowhere", "no such folder")])
def test_a_missing_root_says_what_was_expected(tmp_path: Path, root: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        CamVid().open(None if root is None else tmp_path / root, "train")
