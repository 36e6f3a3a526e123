"""Damage as it happens to files: each gives one line that names the file, exit code 2, and changes nothing."""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.formats.test_image_dataset import fake_camvid
from tests.data.reading.test_images import png_that_says

from segwright.cli.main import main
from segwright.data.reading.label_maps import write_png

IMAGE, MAP = "train/train_1.png", "trainannot/train_1.png"
Damage = Callable[[Path], None]


def cut(name: str, part: float) -> Damage:
    def damage(root: Path) -> None:
        data = (root / name).read_bytes()
        (root / name).write_bytes(data[: int(part * len(data))])

    return damage


def holds(name: str, data: bytes) -> Damage:
    return lambda root: (root / name).write_bytes(data) and None


def is_map(values: object, kind: type = np.uint8, name: str = MAP) -> Damage:
    return lambda root: write_png(root / name, np.broadcast_to(np.array(values, kind), (40, 56)).copy())


def saved(picture: Image.Image, name: str, **options: object) -> Damage:
    return lambda root: picture.save(root / name, **options)


def gone(name: str) -> Damage:
    return lambda root: (root / name).unlink()


def as_jpeg(root: Path) -> None:
    (root / IMAGE).unlink()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)).save(
        root / "train" / "train_1.jpg", quality=90
    )


def truncated_jpeg(root: Path) -> None:
    as_jpeg(root)
    cut("train/train_1.jpg", 0.6)(root)


def all_maps(values: object) -> Damage:
    def damage(root: Path) -> None:
        for path in (root / "trainannot").iterdir():
            random = np.random.default_rng(0).choice(np.array(values, np.uint8), (40, 56))
            write_png(path, random)

    return damage


def emptied(*folders: str) -> Damage:
    def damage(root: Path) -> None:
        for folder in folders:
            for path in (root / folder).iterdir():
                path.unlink()

    return damage


def twin(root: Path) -> None:
    (root / "train" / "train_1.jpg").write_bytes((root / IMAGE).read_bytes())


def same_in_val(root: Path) -> None:
    (root / "val" / "val_1.png").write_bytes((root / IMAGE).read_bytes())


def dangling_link(root: Path) -> None:
    (root / IMAGE).unlink()
    (root / IMAGE).symlink_to(root / "nowhere.png")


def link_to_itself(root: Path) -> None:
    (root / MAP).unlink()
    (root / MAP).symlink_to(root / MAP)


def folder_for_a_map(root: Path) -> None:
    (root / MAP).unlink()
    (root / MAP).mkdir()


def png_with_broken_pixels(root: Path) -> None:
    data = bytearray((root / MAP).read_bytes())
    start = data.index(b"IDAT") + 12
    data[start : start + 20] = bytes(20)
    (root / MAP).write_bytes(bytes(data))


def renamed(old: str, new: str) -> Damage:
    return lambda root: (root / old).rename(root / new) and None


def tall(root: Path) -> None:
    write_png(root / MAP, np.zeros((57, 40), np.uint8))


RGBA = Image.new("RGBA", (56, 40), (5, 5, 5, 255))
CASES: dict[str, tuple[Damage, str]] = {
    "image: 0 bytes": (holds(IMAGE, b""), r"train_1\.png: an empty file \(0 bytes\)"),
    "image: text": (holds(IMAGE, b"<html>404</html>"), r"train_1\.png: not an image that can be decoded"),
    "image: PNG cut early": (cut(IMAGE, 0.1), r"train_1\.png: truncated"),
    "image: PNG cut late": (cut(IMAGE, 0.98), r"train_1\.png: truncated"),
    "image: JPEG cut": (truncated_jpeg, r"train_1\.jpg: truncated"),
    "image: bomb": (holds(IMAGE, png_that_says(50000, 50000)), r"train_1\.png: header reports 50000x50000"),
    "image: gone": (gone(IMAGE), r"train_1\.png: belongs to no image"),
    "image: link to nothing": (dangling_link, r"train_1\.png: cannot be read"),
    "image: twin of another ending": (twin, r"has the same map train_1\.png"),
    "image: again in val": (same_in_val, r"val_1\.png: in val is the same image as .*train_1\.png"),
    "image: of another size": (
        saved(Image.new("RGB", (57, 40)), IMAGE),
        r"56x40, its image .*train_1\.png is 57x40",
    ),
    "map: 0 bytes": (holds(MAP, b""), r"train_1\.png: an empty file \(0 bytes\)"),
    "map: text": (holds(MAP, b"mask"), r"train_1\.png: not a map that can be read"),
    "map: cut early": (cut(MAP, 0.1), r"train_1\.png: not a map that can be read"),
    "map: cut late": (cut(MAP, 0.7), r"train_1\.png: not a map that can be read"),
    "map: broken pixels": (png_with_broken_pixels, r"train_1\.png: not a map that can be read"),
    "map: bomb": (holds(MAP, png_that_says(50000, 50000)), r"train_1\.png: header reports 50000x50000"),
    "map: gone": (gone(MAP), r"train_1\.png: no such file \(missing for 1 of 4 images"),
    "map: a folder": (folder_for_a_map, r"train_1\.png: no such file"),
    "map: link to itself": (link_to_itself, r"train_1\.png: no such file"),
    "map: other name": (renamed(MAP, "trainannot/Train_1.png"), r"train_1\.png: no such file"),
    "map: other ending": (renamed(MAP, "trainannot/train_1.tif"), r"train_1\.png: no such file"),
    "map: RGB": (saved(Image.new("RGB", (56, 40), (5, 5, 6)), MAP), r"3 channels; .*convert rgb"),
    "map: RGBA": (saved(RGBA, MAP), r"train_1\.png: 4 channels; expected one channel"),
    "map: 0/255": (all_maps([0, 255]), r"a 0/255 mask"),
    "map: from 1": (all_maps([*range(1, 11), 12]), r"value 12 is no class of"),
    "map: one unknown value": (
        is_map(77),
        r"value 77 is no class of 'camvid' \(0\.\.10, ignored 11, 255\)",
    ),
    "map: 16 bit unknown": (is_map(40000, np.uint16), r"value 40000 is no class of"),
    "map: float": (saved(Image.new("F", (56, 40), 3.0), "trainannot/train_1.tif"), r"belongs to no image"),
    "map: JPEG inside": (saved(Image.new("L", (56, 40), 3), MAP, format="JPEG"), r"a map stored as JPEG"),
    "map: wider": (saved(Image.new("L", (57, 40)), MAP), r"57x40, its image .* is 56x40"),
    "map: turned": (tall, r"train_1\.png: the ground truth is 40x57"),
    "map: all ignored": (all_maps([11]), r"all 4 checked maps are ignored everywhere"),
    "split: no images": (emptied("train"), r"train: contains no images"),
    "split: no maps": (emptied("trainannot"), r"train_0\.png: no such file \(missing for 4 of 4 images"),
    "split: no val": (emptied("val", "valannot"), r"val: contains no images"),
    "folder: gone": (renamed("train", "images"), r"train: no such folder; .*check --data"),
    "folder: wrong case": (renamed("val", "VAL"), r"val: no such folder"),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_told_in_one_line_and_changes_nothing(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, message = CASES[case]
    root = fake_camvid(tmp_path / "Grüße aus Köln")  # not ASCII, with spaces
    damage(root)
    before = fingerprint(root)
    assert main(["data", "check", "camvid", "--data", str(root), "--workers", "0"]) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if "error:" in line]
    assert len(lines) >= 1
    assert "Traceback" not in captured.err
    assert any(re.search(message, line) for line in lines), captured.err
    assert all(";" in line for line in lines)  # what to do stands behind what is wrong
    assert fingerprint(root) == before


@pytest.mark.parametrize("case", [case for case in CASES if "belongs to no image" not in CASES[case][1]])
def test_training_refuses_damage_before_it_begins(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, message = CASES[case]
    root = fake_camvid(tmp_path / "data")
    damage(root)
    out = tmp_path / "run"
    code = main(
        ["train", "camvid.quick", "--data", str(root), "--out", str(out), "--set", "training.steps=1"]
    )
    error = capsys.readouterr().err
    assert code == 2
    assert len(error.strip().splitlines()) == 1
    assert re.search(message, error), error
    assert not out.exists()


def fingerprint(root: Path) -> dict[str, str]:
    digests = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            content = b"" if path.is_symlink() else path.read_bytes()
            digests[str(path)] = hashlib.sha256(content + struct.pack("d", path.lstat().st_mtime)).hexdigest()
    return digests
