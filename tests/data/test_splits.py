"""Splits written as lists: stratified, groups and near-duplicates together, nothing moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.data.exports.tools import LAYOUTS

from segwright.cli.main import main
from segwright.data.datasets import OwnData
from segwright.data.reading.label_maps import write_png
from segwright.data.splits import difference_hash, joined_groups, near_duplicates, stratified


def folder(root: Path, count: int = 20) -> None:
    for index in range(count):
        values = np.random.default_rng(index).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        path = root / "images" / f"scene{index // 2:02}_{index % 2}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).resize((64, 48), Image.Resampling.BICUBIC).save(path)
        labels = np.zeros((48, 64), np.uint8)
        labels[:9] = 2 if index in (3, 17) else 1  # class 2 is rare
        write_png(root / "labels" / path.name, labels)


def lists(root: Path) -> dict[str, list[str]]:
    return {path.stem: path.read_text().split() for path in root.glob("*.txt")}


def test_lists_are_written_stratified_and_read_by_the_dataset(tmp_path: Path) -> None:
    folder(tmp_path)
    before = sorted(tmp_path.rglob("*.png"))
    assert main(["data", "split", str(tmp_path), "--val", "0.2"]) == 0
    written = lists(tmp_path)
    assert len(written["train"]) == 16 and len(written["val"]) == 4
    rare = {"images/scene01_1.png", "images/scene08_1.png"}
    assert len(rare & {*written["train"]}) == 1  # one image with the rare class on each side
    assert sorted(tmp_path.rglob("*.png")) == before
    dataset = OwnData(task="semantic").open(tmp_path, "val")
    assert sorted(dataset[i].name for i in range(4)) == sorted(Path(name).stem for name in written["val"])


def test_groups_and_near_duplicates_stay_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path)
    copy = Image.open(tmp_path / "images" / "scene00_0.png").resize((60, 44))
    copy.save(tmp_path / "images" / "other.png")
    write_png(tmp_path / "labels" / "other.png", np.ones((44, 60), np.uint8))
    arguments = [
        "data",
        "split",
        str(tmp_path),
        "--val",
        "0.3",
        "--test",
        "0.2",
        "--group",
        r"(scene\d+|other)",
    ]
    assert main(arguments) == 0
    assert "1 pair of near-duplicates" in capsys.readouterr().out
    side = {Path(name).stem: split for split, names in lists(tmp_path).items() for name in names}
    assert all(side[f"scene{i:02}_0"] == side[f"scene{i:02}_1"] for i in range(10))
    assert side["other"] == side["scene00_0"] and set(side.values()) == {"train", "val", "test"}


def test_lists_are_kept_unless_replacing_them_is_asked_for(tmp_path: Path) -> None:
    folder(tmp_path, 6)
    command = ["data", "split", str(tmp_path), "--val", "0.5"]
    assert main(command) == 0
    (tmp_path / "val.txt").write_text("mine")
    assert main(command) == 2
    assert lists(tmp_path)["val"] == ["mine"]
    assert main([*command, "--force"]) == 0
    assert main(["data", "split", str(tmp_path), "--val", "1.5"]) == 2
    assert main(["data", "split", str(tmp_path), "--val", "0.5", "--group", "(", "--force"]) == 2


@given(st.lists(st.frozensets(st.integers(0, 4), max_size=3), min_size=4, max_size=40), st.floats(0.1, 0.5))
def test_every_image_is_in_one_split_of_about_the_share(classes: list[frozenset[int]], share: float) -> None:
    groups = [[index] for index in range(len(classes))]
    chosen = stratified(groups, classes, {"train": 1 - share, "val": share})
    assert sorted(chosen["train"] + chosen["val"]) == list(range(len(classes)))
    assert abs(len(chosen["val"]) - share * len(classes)) <= 1 + len({c for row in classes for c in row})


def test_the_hash_survives_scaling_and_differs_between_images() -> None:
    random = np.random.default_rng(0)
    image = np.array(Image.fromarray(random.integers(0, 255, (8, 9, 3), dtype=np.uint8)).resize((90, 80)))
    scaled = np.array(Image.fromarray(image).resize((45, 40)))
    hashes = [difference_hash(image), difference_hash(scaled), difference_hash(image[::-1])]
    assert near_duplicates(hashes) == [(0, 1)]
    assert joined_groups(4, [(2, 0), (2, 3)]) == [[0, 2, 3], [1]]


def test_images_in_parquet_files_are_written_before_they_are_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "cache"))
    LAYOUTS["parquet"](tmp_path / "data")
    assert main(["data", "split", str(tmp_path / "data"), "--val", "0.3"]) == 2
    assert f"segwright data convert {tmp_path / 'data'} --to semantic" in capsys.readouterr().err
