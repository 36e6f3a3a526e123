"""Every layout of every tool: recognized by its files, and read to the same class maps."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.exports.tools import CLASSES, LAYOUTS, OBJECTS, class_map

from segwright.cli.main import main
from segwright.data.datasets import OwnData
from segwright.samples import Sample

EXPECTED_ORDER = {"color_masks": ("cat", "dog", "étoile"), "kaggle_rows": ("cat", "dog", "étoile")}


def read(config: OwnData, root: Path, split: str) -> list[Sample]:
    dataset = config.open(root, split)
    return [dataset[index] for index in range(len(dataset))]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "cache"))


@pytest.mark.parametrize("name", LAYOUTS)
def test_convert_writes_the_class_maps_of_every_layout(name: str, tmp_path: Path, capsys) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow")
    LAYOUTS[name](tmp_path / "data")
    out = tmp_path / "out"
    assert main(["data", "convert", str(tmp_path / "data"), "--to", "semantic", "--out", str(out)]) == 0
    maps = {path.stem: np.array(Image.open(path)) for path in (out / "labels").rglob("*.png")}
    order = EXPECTED_ORDER.get(name, CLASSES)
    maps = {stem.removesuffix("_0000"): values for stem, values in maps.items()}
    assert sorted(maps) == sorted(OBJECTS)
    for key, values in maps.items():
        np.testing.assert_array_equal(values, class_map(key, order))


@pytest.mark.parametrize(
    "name", ["yolo", "coco", "labelme", "label_studio", "supervisely", "cvat", "cvat_mask"]
)
def test_the_objects_of_an_image_are_instances(name: str, tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path)
    config = OwnData(task="instance", val_share=0.25)
    samples = [sample for split in ("train", "val") for sample in read(config, tmp_path, split)]
    things = {s.name: sum(segment.class_index < 4 for segment in s.segments or ()) for s in samples}
    background = int(name == "cvat_mask")
    assert things == {key: len(objects) + background for key, objects in OBJECTS.items()}


@pytest.mark.parametrize("tool", ["coco", "yolo", "labelme", "cvat", "labelstudio", "panoptic"])
def test_what_convert_writes_is_read_back_without_loss(tool: str, tmp_path: Path) -> None:
    LAYOUTS["coco_roboflow"](tmp_path / "data")
    for source, to, out in (("data", tool, "there"), ("there", "semantic", "back")):
        arguments = [str(tmp_path / source), "--to", to, "--out", str(tmp_path / out)]
        assert main(["data", "convert", *arguments]) == 0
    for key in OBJECTS:
        (path,) = (tmp_path / "back" / "labels").rglob(f"{key}.png")
        np.testing.assert_array_equal(np.array(Image.open(path)), class_map(key))


def test_check_says_what_a_folder_was_taken_for(tmp_path: Path, capsys) -> None:
    LAYOUTS["labelme"](tmp_path)
    assert main(["data", "check", str(tmp_path), "--workers", "0", "--set", "val_share=0.25"]) == 0
    printed = capsys.readouterr().out
    assert "labelme (4 JSON files with shapes" in printed
    assert "1 of 4 images is held out (data.val_share=0.25)" in printed


def test_a_format_is_a_name_as_that_of_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    LAYOUTS["yolo"](tmp_path / "data")
    assert main(["data", "check", "yolo", "--data", str(tmp_path / "data"), "--workers", "0"]) == 0
    assert main(["data", "check", "yollo", "--data", str(tmp_path / "data")]) == 2
    assert "unknown dataset 'yollo'; did you mean 'yolo'?" in capsys.readouterr().err


def test_the_stuff_files_of_coco_are_read_where_there_are_no_others(tmp_path: Path) -> None:
    LAYOUTS["coco"](tmp_path)
    folder = tmp_path / "annotations"
    shutil.copy(folder / "instances_default.json", folder / "stuff_default.json")
    config = OwnData(task="semantic", val_share=0)
    assert len(read(config, tmp_path, "train")) == len(OBJECTS)
    (folder / "instances_default.json").unlink()
    assert len(read(config, tmp_path, "train")) == len(OBJECTS)


def test_a_folder_that_fits_two_formats_is_refused_with_both(tmp_path: Path, capsys) -> None:
    LAYOUTS["labelme"](tmp_path)
    LAYOUTS["cvat"](tmp_path)
    assert main(["data", "check", str(tmp_path), "--workers", "0"]) == 2
    error = capsys.readouterr().err
    assert "cvat: " in error and "labelme: " in error and "--from" in error
    assert main(["data", "check", str(tmp_path), "--workers", "0", "--from", "cvat"]) == 0


def test_a_split_is_held_out_alike_every_time(tmp_path: Path) -> None:
    LAYOUTS["cvat"](tmp_path)
    config = OwnData(task="semantic", val_share=0.5)
    names = {split: {sample.name for sample in read(config, tmp_path, split)} for split in ("train", "val")}
    assert not names["train"] & names["val"] and len(names["val"]) == 2
    assert names["val"] == {sample.name for sample in read(config, tmp_path, "validation")}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((), "it has no file"),
        (("a.json",), "it has no image"),
        (("a.png",), "it has .png files, and neither"),
    ],
)
def test_a_folder_that_is_not_recognized_says_what_it_has(
    files: tuple[str, ...], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    assert main(["data", "check", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"the layout is not recognized: {expected}" in error and "--from" in error


def test_polygons_of_one_class_and_group_are_one_object(tmp_path: Path) -> None:
    LAYOUTS["datumaro"](tmp_path)
    file = tmp_path / "annotations" / "default.json"
    text = file.read_text(encoding="utf-8")
    assert '"group": 0' in text
    file.write_text(text.replace('"group": 0', '"group": 5'), encoding="utf-8")
    samples = {
        sample.name: sample for sample in read(OwnData(task="instance", val_share=0), tmp_path, "train")
    }
    counts = {name: len(sample.segments or ()) for name, sample in samples.items()}
    assert counts == {"a": 2, "b c": 1, "d": 1, "empty": 0}  # of "a" the classes differ
