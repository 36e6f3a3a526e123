"""The splits of a folder with images/train/ and labels/train/: its own, those of lists, or a held-out share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from segwright.cli.main import main
from segwright.data.datasets import OwnData
from segwright.errors import UserError


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Ten images for training and two for validation, in folders of splits."""
    arguments = ["street", "--to", "semantic", "--out", str(tmp_path), "--set", "train=10", "val=2"]
    assert main(["data", "convert", *arguments, "size=[48,64]"]) == 0
    return tmp_path


def names(root: Path, split: str, **fields: object) -> set[str]:
    dataset = OwnData(task="semantic", **fields).open(root, split)  # type: ignore[arg-type]
    return {dataset[index].name for index in range(len(dataset))}


def test_lists_of_a_setting_replace_the_folders_of_splits(scenes: Path, tmp_path: Path) -> None:
    assert main(["data", "split", str(scenes), "--val", "0.5", "--out", str(tmp_path / "lists")]) == 0
    pattern = str(tmp_path / "lists" / "{split}.txt")
    train, val = (names(scenes, split, lists=pattern) for split in ("train", "val"))
    assert len(train) == len(val) == 6 and not train & val
    with pytest.raises(UserError, match=r"data\.lists has no effect on this layout"):
        names(scenes, "train", lists=pattern, images="images")


def test_lists_that_would_be_ignored_are_not_written(
    scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out in ([], ["--out", str(scenes)]):
        assert main(["data", "split", str(scenes), "--val", "0.5", *out]) == 2
        assert "lists beside them are not read; write the lists elsewhere" in capsys.readouterr().err
    assert not list(scenes.glob("*.txt"))


def test_without_val_a_share_of_train_is_held_out(scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything = names(scenes, "train")
    for folder in ("images", "labels"):
        shutil.rmtree(scenes / folder / "val")
    assert main(["data", "check", "folder", "--data", str(scenes)]) == 0
    assert "held out (data.val_share" in capsys.readouterr().out
    assert len(names(scenes, "val")) == 2
    assert names(scenes, "train") | names(scenes, "val") == everything
    assert main(["data", "split", str(scenes), "--val", "0.3"]) == 0
    val = {Path(line).stem for line in (scenes / "val.txt").read_text().split()}
    assert names(scenes, "val") == val and names(scenes, "train") == everything - val


def test_the_folder_of_images_names_the_folder_above_and_other_names_of_val_are_known(
    scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert names(scenes, "validation") == names(scenes, "val")
    with pytest.raises(UserError, match="no split 'fold1'"):
        names(scenes, "fold1")
    assert main(["data", "check", str(scenes / "images")]) == 2
    assert f"it has the images of {scenes}; give that folder" in capsys.readouterr().err
