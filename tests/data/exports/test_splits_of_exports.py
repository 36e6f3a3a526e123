"""The split of each image: stated, or named by folders and files; one annotation file may list several splits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.data.exports.platforms import PLATFORMS
from tests.data.exports.tools import (
    CLASSES,
    LAYOUTS,
    OBJECTS,
    class_map,
    coco_values,
    cvat_image,
    photo,
    photos,
    save,
)

from segwright.cli.main import main
from segwright.data.datasets import OwnData
from segwright.data.exports.splits import split_of_file
from segwright.data.reading.png_encoder import encode_png
from segwright.errors import UserError

TRAIN = ["a", "b c", "empty"]
ONE_FILE = ("coco", "coco_label_studio", "cvat", "label_studio", "via", "via_csv", "via3", "datumaro", "labelbox",
            "sagemaker")  # fmt: skip
FILE_PER_IMAGE = ("labelme", "superannotate", "darwin_1", "superannotate_pixel")


def split_images(root: Path) -> None:
    """Move the images into folders train and val."""
    for path in sorted(root.rglob("*.png")):
        if path.stem in OBJECTS:
            folder = path.parent / ("val" if path.stem == "d" else "train")
            folder.mkdir(exist_ok=True)
            path.rename(folder / path.name)


def names(root: Path, split: str, **fields: object) -> list[str]:
    return sorted(sample.name for sample in OwnData(task="semantic", **fields).open(root, split))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*ONE_FILE, *FILE_PER_IMAGE])
def test_folders_of_images_are_splits_whatever_lists_the_images(name: str, tmp_path: Path) -> None:
    (LAYOUTS | PLATFORMS)[name](tmp_path)
    split_images(tmp_path)
    assert (names(tmp_path, "train"), names(tmp_path, "val")) == (TRAIN, ["d"])
    notes = OwnData(task="semantic").open(tmp_path, "val").notes  # type: ignore[attr-defined]
    assert not any("held out" in note for note in notes)
    told = [
        note
        for note in notes
        if "lists images of several splits; those of 'val' are the 1 in folders" in note
    ]
    assert len(told) == (name in ONE_FILE)


def test_the_check_says_that_folders_tell_the_splits_of_one_file_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LAYOUTS["coco"](tmp_path)
    split_images(tmp_path)
    assert main(["data", "check", str(tmp_path), "--workers", "0"]) == 0
    printed = capsys.readouterr().out
    assert (
        "instances_default.json: lists images of several splits" in printed and "train: 3 images" in printed
    )


def test_folders_are_the_splits_of_a_panoptic_file(tmp_path: Path) -> None:
    LAYOUTS["coco_panoptic"](tmp_path)
    values = [
        json.loads((tmp_path / f"panoptic_{s}.json").read_text(encoding="utf-8")) for s in ("train", "val")
    ]
    for split, part in zip(("train", "val"), values, strict=True):
        for row in part["images"]:
            row["file_name"], row["id"] = f"{split}/{row['file_name']}", f"{split}{row['id']}"
        for row in part["annotations"]:
            row["file_name"], row["image_id"] = f"{split}/{row['file_name']}", f"{split}{row['image_id']}"
        (tmp_path / "panoptic").mkdir(exist_ok=True)
        (tmp_path / f"panoptic_{split}").rename(tmp_path / "panoptic" / split)
        (tmp_path / f"panoptic_{split}.json").unlink()
    both = {key: values[0][key] + values[1][key] for key in ("images", "annotations")}
    save(tmp_path / "panoptic.json", values[0] | both)
    split_images(tmp_path / "images")
    assert (names(tmp_path, "train"), names(tmp_path, "val")) == (TRAIN, ["d"])


@pytest.mark.parametrize(
    "folders", [("train", "val"), ("train_images", "val_images"), ("Training set", "images-valid")]
)
def test_folders_are_the_splits_of_a_csv_file(folders: tuple[str, str], tmp_path: Path) -> None:
    LAYOUTS["kaggle_rle"](tmp_path)
    (tmp_path / "train_images").rename(tmp_path / "photos")
    split_images(tmp_path / "photos")
    for split, folder in zip(("train", "val"), folders, strict=True):
        (tmp_path / "photos" / split).rename(tmp_path / folder)
    assert (names(tmp_path, "train"), names(tmp_path, "val")) == (TRAIN, ["d"])


def test_a_word_in_the_name_of_the_only_folder_is_no_split(tmp_path: Path) -> None:
    LAYOUTS["kaggle_rle"](tmp_path)
    assert OwnData().splits(tmp_path) == ()
    (tmp_path / "train_images").rename(tmp_path / "test images")
    assert len(names(tmp_path, "train", val_share=0.25)) == 3


def test_images_outside_of_the_folders_of_other_splits_are_for_training(tmp_path: Path) -> None:
    LAYOUTS["coco"](tmp_path)
    (tmp_path / "images" / "val").mkdir()
    (tmp_path / "images" / "d.png").rename(tmp_path / "images" / "val" / "d.png")
    assert (names(tmp_path, "train"), names(tmp_path, "val")) == (TRAIN, ["d"])


def test_annotation_files_called_by_splits_place_the_images_of_one_folder(tmp_path: Path) -> None:
    photos(tmp_path / "images")
    labels = "".join(f"<label><name>{name}</name></label>" for name in CLASSES)
    for split, stems in (("train", TRAIN), ("validation", ["d"])):
        images = "".join(cvat_image(stem, i) for i, stem in enumerate(stems))
        meta = f"<meta><task><labels>{labels}</labels></task></meta>"
        save(tmp_path / f"job_{split}.xml", f"<annotations>{meta}{images}</annotations>")
    assert (names(tmp_path, "train"), names(tmp_path, "val")) == (TRAIN, ["d"])


def test_a_single_annotation_file_may_have_any_name(tmp_path: Path) -> None:
    LAYOUTS["cvat"](tmp_path)
    (tmp_path / "annotations.xml").rename(tmp_path / "test.xml")
    assert len(names(tmp_path, "train", val_share=0.25)) == 3


def test_images_of_one_name_in_folders_of_splits_belong_to_the_file_of_their_split(tmp_path: Path) -> None:
    for split, seed in (("train", 1), ("val", 2)):
        photo(tmp_path / "images" / split / "a.png", seed)
        save(tmp_path / "annotations" / f"instances_{split}.json", coco_values(["a"]))
    config = OwnData(task="semantic")
    train, val = (config.open(tmp_path, split) for split in ("train", "val"))
    assert (train.files(0)[0].parent.name, val.files(0)[0].parent.name) == ("train", "val")
    for split in ("train", "val"):
        (tmp_path / "annotations" / f"instances_{split}.json").unlink()
    save(tmp_path / "annotations" / "instances.json", coco_values(["a"]))
    with pytest.raises(
        UserError, match=r"names the image 'a\.png', and .* contains 2 such files, .*train/a\.png and"
    ):
        config.open(tmp_path, "train")


def test_rows_of_hugging_face_may_state_their_split(tmp_path: Path) -> None:
    photos(tmp_path)
    lines = ["file_name,mask_file_name,split"]
    for name in OBJECTS:
        (tmp_path / f"m{name}.png").write_bytes(encode_png(class_map(name)))
        lines.append(f"{name}.png,m{name}.png,{'validation' if name == 'd' else 'train'}")
    save(tmp_path / "metadata.csv", "\n".join(lines))
    assert (names(tmp_path, "train"), names(tmp_path, "val")) == (TRAIN, ["d"])


@pytest.mark.parametrize("by", ["names", "folders", "column"])
def test_parquet_files_are_placed_by_name_folder_or_column(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyarrow, files = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "cache"))
    photos(tmp_path / "photos")
    paths = {
        "names": ("my_data-train.parquet", "my_data-validation.parquet"),
        "folders": ("default/partial-train/0000.parquet", "default/validation/0000.parquet"),
        "column": ("0000.parquet", "0001.parquet"),
    }[by]
    for split, stems, path in (("train", TRAIN, paths[0]), ("validation", ["d"], paths[1])):
        rows = [
            {"image": {"bytes": (tmp_path / "photos" / f"{name}.png").read_bytes(), "path": f"{name}.png"},
             "label": 3, "mask": {"bytes": encode_png(class_map(name)), "path": None}}
            | ({"split": split} if by == "column" else {})
            for name in stems
        ]  # fmt: skip
        (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        files.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "data" / path)
    assert (names(tmp_path / "data", "train"), names(tmp_path / "data", "val")) == (TRAIN, ["d"])
    (sample,) = OwnData(task="semantic").open(tmp_path / "data", "val")
    np.testing.assert_array_equal(sample.map, class_map("d"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("instances_val2017.json", "val"), ("valid/_annotations.coco.json", "val"), ("test-set-train.json", "train"),
        ("train_val.json", None), ("train-00000-of-00002.parquet", "train"), ("trainval.json", None),
    ],
)  # fmt: skip
def test_the_last_split_in_the_name_of_a_file_counts(path: str, expected: str | None) -> None:
    assert split_of_file(Path("/root") / path, Path("/root")) == expected
