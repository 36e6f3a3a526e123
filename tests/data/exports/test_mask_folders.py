"""Folders of images and masks, as public datasets and competitions name them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.data.exports.tools import CLASSES, OBJECTS, class_map, photo

from segwright.cli.main import main
from segwright.data.datasets import OwnData
from segwright.data.exports.class_tables import read_class_table
from segwright.data.exports.folder_pairs import folder_pairs
from segwright.data.reading.label_maps import read_map
from segwright.errors import UserError

NAMES = sorted(OBJECTS)


def write(root: Path, images: str, masks: str, values: NDArray[np.uint8] | None = None) -> None:
    """Images and masks; the patterns may hold {split} and {name}."""
    for index, name in enumerate(NAMES):
        place = {"split": "val" if index == 0 else "train", "name": name}
        photo(root / images.format(**place), index)
        mask = root / masks.format(**place)
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(class_map(name) if values is None else values).save(mask)


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("img_dir/{split}/{name}.jpg", "ann_dir/{split}/{name}.png"),
        ("{split}/{name}.png", "{split}annot/{name}.png"),
        ("{split}/{name}.png", "{split}_labels/{name}_L.png"),
        ("{split}_images/{name}.jpg", "{split}_masks/{name}.png"),
        ("{split}/Urban/images_png/{name}.png", "{split}/Urban/masks_png/{name}.png"),
        ("Task1_{split}_Input/{name}.jpg", "Task1_{split}_GroundTruth/{name}_segmentation.png"),
        ("leftImg8bit/{split}/a/{name}_leftImg8bit.png", "gtFine/{split}/a/{name}_gtFine_labelIds.png"),
        ("photos/{split}/{name}.JPG", "Trimaps/{split}/{name}.PNG"),
        ("images/{name}.jpg", "annotations/trimaps/{name}.png"),
        ("images/{split}/{name}.jp2", "masks/{split}/{name}.gif"),
    ],
)
def test_folders_are_paired_by_the_words_in_their_names(images: str, masks: str, tmp_path: Path) -> None:
    write(tmp_path, images, masks)
    config = OwnData(task="semantic", val_share=0.25)
    maps = {}
    for split in ("train", "val"):
        dataset = config.open(tmp_path, split)
        maps |= {sample.name.removesuffix("_leftImg8bit"): sample.map for sample in dataset}
        assert len(dataset) == (1 if split == "val" else len(NAMES) - 1)
    for name in NAMES:
        np.testing.assert_array_equal(maps[name], class_map(name))


def test_maps_of_objects_and_colors_beside_those_of_classes_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "leftImg8bit/{split}/{name}_leftImg8bit.png", "gtFine/{split}/{name}_gtFine_labelIds.png")
    for path in list((tmp_path / "gtFine").rglob("*.png")):
        Image.fromarray(np.full((40, 60, 3), 9, np.uint8)).save(str(path).replace("labelIds", "color"))
    sample = OwnData(task="semantic").open(tmp_path, "val")[0]
    np.testing.assert_array_equal(sample.map, class_map(NAMES[0]))


def test_a_folder_of_photographs_alone_is_no_pair(tmp_path: Path) -> None:
    photo(tmp_path / "train" / "a.png", 0)
    photo(tmp_path / "images" / "b.png", 1)
    assert folder_pairs(tmp_path) == []


def test_binary_masks_in_jpeg_are_read_with_sharp_edges(tmp_path: Path) -> None:
    mask = np.zeros((80, 90), np.uint8)
    mask[20:60, 15:50] = 255
    for quality in (40, 75, 95):
        Image.fromarray(mask).save(tmp_path / "a.jpg", quality=quality)
        np.testing.assert_array_equal(read_map(tmp_path / "a.jpg"), mask)
    Image.fromarray(np.zeros((80, 90), np.uint8)).save(tmp_path / "a.jpg")
    assert not read_map(tmp_path / "a.jpg").any()


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 11, 255), (0, 128, 255), (0, 50, 50)])
def test_maps_of_classes_in_jpeg_are_refused(values: tuple[int, ...], tmp_path: Path) -> None:
    mask = np.repeat(np.array(values, np.uint8), 40)[None].repeat(60, axis=0)
    Image.fromarray(mask).save(tmp_path / "a.jpg")
    with pytest.raises(UserError, match="a map stored as JPEG, which changes its values"):
        read_map(tmp_path / "a.jpg")


def test_the_layout_of_a_public_dataset_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "{split}/{name}.png", "{split}annot/{name}.png")
    assert main(["data", "check", str(tmp_path), "--workers", "0"]) == 0
    printed = capsys.readouterr().out
    assert "4 classes: background, class_1, class_2, class_3" in printed
    assert f"segwright data check camvid --data {tmp_path}" in printed
    (tmp_path / "classes.yaml").write_text(f"classes: [background, {', '.join(CLASSES)}]", encoding="utf-8")
    assert main(["data", "check", str(tmp_path), "--workers", "0"]) == 0
    assert "public dataset" not in capsys.readouterr().out


@pytest.mark.parametrize("listed", [("train",), ("val",), ("train", "val")])
def test_no_image_is_in_two_splits_whichever_of_them_have_a_list(
    listed: tuple[str, ...], tmp_path: Path
) -> None:
    write(tmp_path, "images/{name}.png", "masks/{name}.png")
    lines = {"train": NAMES[:3], "val": NAMES[3:]}
    for split in listed:
        (tmp_path / f"{split}.txt").write_text("".join(f"{name}\n" for name in lines[split]))
    names = {
        split: {sample.name for sample in OwnData(task="semantic", val_share=0.3).open(tmp_path, split)}
        for split in ("train", "val")
    }
    assert names["train"] and names["val"] and not names["train"] & names["val"]
    if "val" in listed:
        assert names == {split: set(values) for split, values in lines.items()}
    else:
        assert names["train"] | names["val"] == set(lines["train"])


def test_no_maps_of_classes_seem_to_number_objects(tmp_path: Path) -> None:
    write(tmp_path, "images/{name}.png", "masks/{name}.png")
    assert not OwnData(task="semantic").open(tmp_path, "train").notes


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("label_colors.txt", "# R G B\n\n64 128 64\tAnimal\n192, 0, 128  Arch way \n", 4),
        ("label_colors.txt", "  Animal 64 128 64\n\nArch way: 192,0,128\n", 3),
        ("class_dict.csv", "name, r, g, b\nAnimal, 64, 128, 64\n\nArch way, 192, 0, 128\n", 4),
        ("labelmap.csv", "Red,Green,Blue,Class\n64,128,64,Animal\n192,0,128,Arch way\n", 3),
    ],
)
def test_a_class_table_has_names_and_colors_in_either_order(
    name: str, text: str, line: int, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_class_table(path) == [("Animal", (64, 128, 64)), ("Arch way", (192, 0, 128))]
    path.write_text(text.replace("192", "392"), encoding="utf-8")
    with pytest.raises(UserError, match=f"line {line} is no class"):
        read_class_table(path)
