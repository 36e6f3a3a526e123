"""Any dataset as a folder of images and label maps: the same samples, read by Folder and PanopticFolder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.data.formats.test_image_dataset import fake_camvid

from segwright.cli.main import main
from segwright.data.conversion import convert_to_folder
from segwright.data.datasets import CamVid, Folder, PairDataset, PanopticFolder, StreetScenes
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import Dataset, Sample

LABELS = LabelSpace.of("a", "b", things=("b",))


def street(root: Path, *options: str) -> int:
    settings = ["train=3", "val=2", "size=[32,48]"]
    return main(["data", "convert", "street", "--out", str(root), *options, "--set", *settings])


def objects(sample: Sample, labels: LabelSpace) -> set[tuple[int, bytes]]:
    things = labels.thing_table()
    return {
        (segment.class_index, (sample.map == segment.id).tobytes())
        for segment in sample.segments or ()
        if things[segment.class_index] and not segment.crowd
    }


def assert_equal(first: Dataset, second: Dataset) -> None:
    assert len(first) == len(second)
    assert first.labels.names == second.labels.names
    assert first.labels.colors == second.labels.colors
    for index in range(len(first)):
        one, other = first[index], second[index]
        assert one.name == other.name
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.semantic(), other.semantic())


def test_generated_scenes_become_a_folder_for_own_semantic(tmp_path: Path) -> None:
    assert street(tmp_path / "photos", "--to", "semantic") == 0
    for split, count in (("train", 3), ("val", 2)):
        scenes = StreetScenes(train=3, val=2, size=(32, 48)).open(None, split)
        folder = Folder().open(tmp_path / "photos", split)
        assert len(folder) == count
        assert not folder.labels.things
        assert_equal(scenes, folder)
    assert main(["data", "check", str(tmp_path / "photos")]) == 0


def test_objects_are_numbered_and_crowds_are_not(tmp_path: Path) -> None:
    assert street(tmp_path / "photos", "--to", "instance", "--set", "panoptic=true") == 0
    scenes = StreetScenes(train=3, val=2, size=(32, 48), panoptic=True).open(None, "train")
    folder = PanopticFolder().open(tmp_path / "photos", "train")
    assert_equal(scenes, folder)
    assert folder.labels.things == scenes.labels.things
    for index in range(len(scenes)):
        assert objects(scenes[index], scenes.labels) == objects(folder[index], folder.labels)


def test_files_of_images_are_copied_and_ignored_pixels_stay_ignored(tmp_path: Path) -> None:
    fake_camvid(tmp_path / "camvid")
    command = ["data", "convert", "camvid", str(tmp_path / "camvid"), "--to", "semantic"]
    assert main([*command, "--out", str(tmp_path / "photos"), "--split", "val"]) == 0
    assert not (tmp_path / "photos/images/train").exists()
    for copy in (tmp_path / "photos/images/val").iterdir():
        assert copy.read_bytes() == (tmp_path / "camvid/val" / copy.name).read_bytes()
    assert_equal(CamVid().open(tmp_path / "camvid", "val"), Folder().open(tmp_path / "photos", "val"))


def test_a_split_without_ground_truth_gets_no_label_maps(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "images/test").mkdir(parents=True)
    cv2.imwrite(str(source / "images/test/a.jpg"), np.zeros((4, 5, 3), np.uint8))
    (source / "classes.yaml").write_text("classes: [a, b]\n")
    command = ["data", "convert", "folder", str(source), "--to", "semantic", "--split", "test"]
    assert main([*command, "--out", str(tmp_path / "photos")]) == 0
    assert [*(tmp_path / "photos").rglob("*.png")] == []


def test_nothing_is_written_when_a_sample_cannot_be_converted(tmp_path: Path) -> None:
    class Twice(PairDataset):
        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            return Sample(sample.image, sample.map, "same")

    pairs: list[Any] = [(np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint8)) for _ in range(2)]
    with pytest.raises(UserError, match="two images are called 'same'"):
        convert_to_folder({"train": Twice(pairs, LABELS)}, tmp_path / "photos")
    with pytest.raises(UserError, match="has classes but no objects"):
        convert_to_folder({"train": PairDataset(pairs, LABELS)}, tmp_path / "photos", to="instance")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "yolo"], "--to yolo: expected semantic, instance, tar"),
        ([], "--to is missing"),
        (["--to", "semantic", "--train-ids"], "--train-ids has no effect"),
        (["--to", "semantic", "--split", "test"], "unknown split 'test'"),
    ],
)
def test_wrong_options_end_in_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert street(tmp_path / "photos", *options) == 2
    assert message in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []


def test_settings_have_no_effect_on_annotation_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "convert", "coco", "a.json", "--out", str(tmp_path / "out"), "--set", "train=3"]
    assert main(command) == 2
    assert "--set has no effect" in capsys.readouterr().err


def test_a_folder_with_the_name_of_a_dataset_is_that_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "street").mkdir()
    assert main(["data", "convert", "street", "--to", "semantic", "--out", "photos"]) == 2
    assert "street" in capsys.readouterr().err
