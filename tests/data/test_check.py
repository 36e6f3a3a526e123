from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.formats.test_image_dataset import fake_camvid

from segwright.data.check import first_findings, full_check, quick_check
from segwright.data.datasets.camvid import CamVid
from segwright.data.reading.label_maps import write_png
from segwright.errors import UserError
from segwright.samples import Dataset


def opened(root: Path) -> dict[str, Dataset]:
    return {split: CamVid().open(root, split) for split in ("train", "val")}


def test_good_data_have_no_findings_and_their_counts(tmp_path: Path) -> None:
    train, val = full_check(opened(fake_camvid(tmp_path)))
    assert (train.images, val.images) == (4, 2)
    assert not train.errors + train.warnings + val.errors + val.warnings
    values = train.to_json()
    assert values["sizes"] == [{"height": 40, "width": 56, "images": 4}]
    everything = sum(c["pixels"] for c in values["classes"].values()) + values["ignored_pixels"]
    assert everything == 4 * 40 * 56


def test_every_broken_sample_is_listed_and_none_hides_another(tmp_path: Path) -> None:
    root = fake_camvid(tmp_path, train=5)
    (root / "train" / "train_1.png").write_bytes(b"")
    write_png(root / "trainannot" / "train_2.png", np.full((40, 56), 77, np.uint8))
    write_png(root / "trainannot" / "train_4.png", np.zeros((40, 57), np.uint8))
    for workers in (0, 2):
        train, _ = full_check(opened(root), workers=workers)
        assert [line.split(":")[0].rpartition("/")[2] for line in train.errors] == [
            "train_1.png",
            "train_2.png",
            "train_4.png",
        ]


def test_progress_is_told(tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    full_check(opened(fake_camvid(tmp_path)), progress=lambda *what: calls.append(what))
    assert calls == [("train", k, 4) for k in (1, 2, 3, 4)] + [("val", 1, 2), ("val", 2, 2)]


def copy_into_val(root: Path) -> None:
    (root / "val" / "val_0.png").write_bytes((root / "train" / "train_3.png").read_bytes())


def zero_and_255(root: Path) -> None:
    for path in (root / "trainannot").iterdir():
        write_png(path, np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (40, 56)))


def ignored_everywhere(root: Path) -> None:
    for path in (root / "trainannot").iterdir():
        write_png(path, np.full((40, 56), 11, np.uint8))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (copy_into_val, r"val_0\.png: in val is the same image as .*train_3\.png in train"),
        (zero_and_255, "a 0/255 mask"),
        (ignored_everywhere, "ignored everywhere"),
    ],
)
def test_what_only_all_files_together_show_is_found_by_both_checks(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    root = fake_camvid(tmp_path)
    damage(root)
    with pytest.raises(UserError, match=message):
        quick_check(opened(root))
    errors = [line for one in full_check(opened(root)) for line in one.errors]
    assert len(errors) == 1


def test_a_single_map_without_truth_and_absent_classes_are_warnings(tmp_path: Path) -> None:
    root = fake_camvid(tmp_path)
    write_png(root / "trainannot" / "train_0.png", np.full((40, 56), 11, np.uint8))
    for path in (root / "valannot").iterdir():
        write_png(path, np.random.default_rng(0).integers(2, 9, (40, 56), np.uint8))
    train, val = full_check(opened(root))
    assert not train.errors + val.errors
    assert any("train_0.png: ignored everywhere" in line for line in train.warnings)
    assert any(
        "4 classes have no pixel: sky, building, pedestrian, bicyclist" in line for line in val.warnings
    )


def test_a_split_without_truth_is_no_error(tmp_path: Path) -> None:
    root = fake_camvid(tmp_path)
    for path in (root / "valannot").iterdir():
        path.unlink()
    (root / "valannot").rmdir()
    _, val = full_check(opened(root))
    assert not val.errors
    assert val.warnings == ["val: has no ground truth; it can be predicted, but not trained on or scored"]


def test_turned_photographs_are_pointed_out(tmp_path: Path) -> None:
    root = fake_camvid(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((40, 56, 3), np.uint8)).save(root / "train" / "turned.jpg", exif=exif)
    write_png(root / "trainannot" / "turned.png", np.arange(40 * 56, dtype=np.uint8).reshape(40, 56) % 11)
    dataset = CamVid().open(root, "train")
    index = [path.stem for path in dataset.images].index("turned")
    sample = dataset[index]
    assert sample.image.shape == (56, 40, 3)
    stored = np.arange(40 * 56, dtype=np.uint8).reshape(40, 56) % 11
    assert (sample.map == np.rot90(stored, -1)).all()  # drawn on the pixels as stored: turned with them
    (train,) = full_check({"train": dataset})
    assert any("turned.jpg: has an EXIF orientation" in line for line in train.warnings)


def test_a_long_list_of_findings_is_cut() -> None:
    assert first_findings([str(n) for n in range(13)])[-1] == "... and 3 more"
    assert first_findings(["a"]) == ["a"]


def test_images_of_different_depth_are_an_error(tmp_path: Path) -> None:
    root = fake_camvid(tmp_path)
    write_png(
        root / "train" / "train_2.png", np.random.default_rng(0).integers(0, 60000, (40, 56, 3), np.uint16)
    )
    (train,) = full_check({"train": CamVid(bands=3).open(root, "train")})
    assert len(train.errors) == 1
    assert "uint8 (first: " in train.errors[0]
    assert "uint16 (first: " in train.errors[0]
    assert "train_2.png" in train.errors[0]
