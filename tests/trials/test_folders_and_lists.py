"""Hidden and system folders are skipped; list files name images as people write them; images of one pixel."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segwright.cli.main import main
from segwright.data.datasets import CamVid, Folder, KittiStep, Voc
from segwright.data.reading.file_lists import (
    ListedImages,
    has_hidden_part,
    is_hidden,
    list_images,
    match_files,
)
from segwright.data.reading.images import read_image
from segwright.data.reading.label_maps import write_png
from segwright.errors import UserError
from segwright.prediction.inputs import find_images

SYSTEM = (
    ".ipynb_checkpoints", "@eaDir", "__MACOSX", ".AppleDouble", ".Trash-1000", "$RECYCLE.BIN", "#recycle",
    "lost+found", ".git", "System Volume Information", "@Recycle",
)  # fmt: skip
NAMES = (
    "scan.v1.2", "img_1.rf.5f3a", "my photo 1", "Straße_日本", "img[3]", "a%20b", "semi;colon,comma", "trailing ",
    " leading", "-dash", "a.b c.d", "photo -1x", "2008_000001", "x.jpg", "tab_no", "#7", "emoji😀", "o'clock", 'a"b',
)  # fmt: skip


def write_image(path: Path, value: int = 0, size: tuple[int, int] = (16, 16)) -> None:
    image = np.random.default_rng(value + size[0]).integers(0, 255, (*size, 3)).astype(np.uint8)
    write_png(path.with_name("written.png"), image)
    path.with_name("written.png").rename(path)


def write_map(path: Path, size: tuple[int, int] = (16, 16)) -> None:
    classes = np.arange(size[0] * size[1]).reshape(size) % 2
    write_png(path.with_name("written.png"), classes.astype(np.uint8))
    path.with_name("written.png").rename(path)


def write_folder(root: Path, *, images: int = 3, size: tuple[int, int] = (16, 16)) -> None:
    for split in ("train", "val"):
        for index in range(images):
            number = index + 10 * (split == "val")
            write_image(root / "images" / split / f"{split}{index}.png", number, size)
            write_map(root / "labels" / split / f"{split}{index}.png", size)
    (root / "classes.yaml").write_text("classes: [a, b]\n")


@pytest.mark.parametrize("name", SYSTEM)
def test_copies_in_system_folders_are_in_no_dataset(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path)
    for kind in ("images", "labels"):
        for place in (tmp_path / kind / name / "train", tmp_path / kind / "train" / name):
            write_map(place / "train0-checkpoint.png")
    dataset = Folder().open(tmp_path, "train")
    assert [path.name for path in dataset.images] == ["train0.png", "train1.png", "train2.png"]
    assert not dataset.unmatched_maps
    expected = [f"{split}{index}.png" for split in ("train", "val") for index in range(3)]
    for source in (tmp_path / "images", tmp_path / "images" / "**" / "*.png"):
        assert sorted(path.name for path in find_images([str(source)])) == expected


def test_hidden_means_below_the_folder_that_is_read(tmp_path: Path) -> None:
    root = tmp_path / ".cache" / "@eaDir" / "data"
    write_folder(root)
    assert len(list_images(root, recursive=True)) == 12
    assert has_hidden_part(root / ".x" / "a.png", root)
    assert not has_hidden_part(root / "x" / "a.png", root)
    assert [is_hidden(name) for name in ("Thumbs.db", "._a.png", ".DS_Store", "__macosx", "a.png", "eaDir", "@a")] == [
        True, True, True, True, False, False, False,
    ]  # fmt: skip


def test_system_folders_are_no_sequences_and_no_labelme_files(tmp_path: Path) -> None:
    for folder in ("0000", "@eaDir", ".thumbs"):
        write_image(tmp_path / "step" / "image_02" / "train" / folder / "000000.png")
        write_map(tmp_path / "step" / "panoptic_maps" / "train" / folder / "000000.png")
    try:
        count = len(KittiStep().read(tmp_path / "step", "train"))
    except UserError as error:
        pytest.fail(str(error))
    assert count == 1
    shape = {"label": "x", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
    document = json.dumps({"shapes": [shape], "imageHeight": 12, "imageWidth": 12})
    for path in (tmp_path / "lm" / "a.json", tmp_path / "lm" / ".ipynb_checkpoints" / "a-checkpoint.json"):
        path.parent.mkdir(parents=True)
        path.write_text(document)
    assert main(["data", "convert", "labelme", str(tmp_path / "lm"), "--out", str(tmp_path / "out")]) == 0
    assert [path.name for path in (tmp_path / "out" / "labels").rglob("*.png")] == ["a.png"]


@pytest.mark.parametrize("ending", [".png", ".PNG", ".Png"])
@pytest.mark.parametrize(
    "listed", ["{}", "{}.png", "{}.PNG", "images/{}.png", "./{}", "{}.png labels/{}.png", "{}\tx.png"]
)
def test_a_list_names_images_with_dots_spaces_and_any_ending(
    tmp_path: Path, listed: str, ending: str
) -> None:
    for index, name in enumerate(NAMES):
        write_image(tmp_path / "images" / f"{name}{ending}", index, (2, 2))
        write_map(tmp_path / "labels" / f"{name}.png", (2, 2))
    (tmp_path / "classes.yaml").write_text("classes: [a, b]\n")
    lines = [listed.replace("{}", name) for name in NAMES]
    (tmp_path / "train.txt").write_text("\r\n".join(lines), encoding="utf-8")
    dataset = Folder().open(tmp_path, "train")
    assert [path.name for path in dataset.images] == sorted(f"{name}{ending}" for name in NAMES)
    assert [path.name for path in dataset.ground_truth.paths] == [f"{p.stem}.png" for p in dataset.images]  # type: ignore[union-attr]


@pytest.mark.parametrize("ending", [".jpg", ".JPG", ".jpeg"])
@pytest.mark.parametrize("listed", ["{}", "{} -1", "{}  1", "/JPEGImages/{}.jpg /SegmentationClass/{}.png"])
def test_ids_of_voc_may_contain_dots_and_spaces(tmp_path: Path, listed: str, ending: str) -> None:
    if ending == ".jpeg" and ".jpg" in listed:
        pytest.skip("names another file")
    for index, name in enumerate(NAMES):
        write_image(tmp_path / "JPEGImages" / f"{name}{ending}", index, (2, 2))
        write_map(tmp_path / "SegmentationClass" / f"{name}.png", (2, 2))
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text(
        "\n".join(listed.replace("{}", name) for name in NAMES), encoding="utf-8"
    )
    dataset = Voc().open(tmp_path, "train")
    assert [path.stem for path in dataset.images] == list(NAMES)
    assert dataset.ground_truth is not None


def test_ids_of_camvid_may_contain_dots_and_paths(tmp_path: Path) -> None:
    for name in NAMES:
        write_image(tmp_path / "images" / f"{name}.PNG", size=(2, 2))
        write_map(tmp_path / "LABELS" / f"{name}_L.png", (2, 2))
    lines = [*NAMES[:6], *(f"/SegNet/CamVid/train/{name}.png" for name in NAMES[6:])]
    (tmp_path / "train.txt").write_text("\n".join(lines), encoding="utf-8")
    dataset = CamVid(classes=32).open(tmp_path, "train")
    assert [path.stem for path in dataset.images] == list(NAMES)
    (tmp_path / "train.txt").write_text("missing\n")
    with pytest.raises(UserError, match=r"missing\.png: no such file"):
        CamVid(classes=32).open(tmp_path, "train")


def test_a_name_is_never_taken_for_a_shorter_one(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "photo.png")
    write_image(tmp_path / "images" / "a.png")
    listed = ListedImages(tmp_path / "images", tmp_path)
    for line in ("photo 2", "photo.2", "a.jpg", "photo,2", "../photo", "b/photo", ""):
        assert listed.find(line) is None, line


def test_backslashes_accents_of_macos_and_folders_are_found(tmp_path: Path) -> None:
    image = tmp_path / "images" / "sub" / unicodedata.normalize("NFD", "Café.PNG")
    write_image(image)
    listed = ListedImages(tmp_path / "images", tmp_path)
    for line in ("sub\\Café", "sub/Café.png", "images\\sub\\Café.png", str(image), "./sub//Café"):
        assert listed.find(line) == image, line
    outside = tmp_path / "images" / ".." / "images"
    assert ListedImages(outside, tmp_path).find("sub/Café") == outside / image.relative_to(
        tmp_path / "images"
    )


TEXT = st.text(
    st.characters(exclude_characters="/\\\0\n\r", exclude_categories=("Cs",)), min_size=1, max_size=12
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=TEXT.filter(lambda text: text.strip() and not is_hidden(text)),
    ending=st.sampled_from([".png", ".JPG"]),
)
def test_any_file_name_is_found_by_its_name_in_a_list(tmp_path: Path, name: str, ending: str) -> None:
    folder = tmp_path / "any"
    folder.mkdir(exist_ok=True)
    image = folder / f"{name}{ending}"
    image.touch()
    try:
        listed = ListedImages(folder, tmp_path)
        assert listed.find(f"{name}{ending}") == image
        assert listed.find(name) == image
        assert listed.find(name.strip()) == image
    finally:
        image.unlink()


def test_maps_with_upper_case_endings_are_found(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write_map(tmp_path / "m" / "a.PNG")
    assert match_files([tmp_path / "a.png"], lambda image: tmp_path / "m" / image.name) == (
        tmp_path / "m" / "a.PNG",
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
@pytest.mark.parametrize("reduce", [1, 2, 8])
def test_images_with_a_side_of_one_pixel_train_and_are_predicted(
    tmp_path: Path, size: tuple[int, int], reduce: int
) -> None:
    write_folder(tmp_path / "data", images=2, size=size)
    path = tmp_path / "data" / "images" / "train" / "train0.png"
    assert read_image(path, reduce=reduce).shape[:2] == tuple(-(-side // reduce) for side in size)
    data = ("--data", str(tmp_path / "data"), "--set", f"data.reduce={reduce}")
    assert main(["data", "check", "folder", *data, "--workers", "0"]) == 0
    if reduce == 2:
        run = tmp_path / "run"
        short = ("training.steps=1", "training.batch=2", "training.workers=0")
        options = [text for setting in short for text in ("--set", setting)]
        assert main(["train", "own.semantic", *data, *options, "--out", str(run), "--device", "cpu"]) == 0
