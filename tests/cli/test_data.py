from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.formats.test_image_dataset import fake_camvid

from segwright.cli.main import main
from segwright.data.reading.label_maps import write_png


def run(*arguments: object) -> int:
    return main(["data", *map(str, arguments)])


def test_check_of_good_data_ends_with_zero_and_writes_json(tmp_path: Path, capsys) -> None:
    root = fake_camvid(tmp_path / "data")
    assert run("check", "camvid", "--data", root, "--json", tmp_path / "c.json", "--workers", 0) == 0
    assert "train: 4 images, 0 errors" in capsys.readouterr().out
    values = json.loads((tmp_path / "c.json").read_text())
    assert values["train"]["errors"] == []
    assert values["train"]["classes"]["sky"]["pixels"] > 0


def test_check_of_bad_data_ends_with_two_and_names_the_files(tmp_path: Path, capsys) -> None:
    root = fake_camvid(tmp_path / "data")
    write_png(root / "trainannot" / "train_1.png", np.full((40, 56), 30, np.uint8))
    (root / "valannot" / "val_0.png").unlink()
    assert run("check", "camvid.quick", "--data", root, "--json", tmp_path / "c.json", "--workers", 0) == 2
    errors = capsys.readouterr().err
    assert "train_1.png: value 30 is no class of 'camvid'" in errors
    assert "val_0.png: no such file" in errors  # train was checked all the same
    values = json.loads((tmp_path / "c.json").read_text())
    assert len(values["train"]["errors"]) == 1
    assert len(values["val"]["errors"]) == 1


def test_a_file_that_cannot_be_written_is_an_error_before_the_work(tmp_path: Path, capsys) -> None:
    root = fake_camvid(tmp_path / "data")
    for option in ("check", "--json"), ("stats", "--html"):
        assert run(option[0], "camvid", "--data", root, option[1], tmp_path, "--workers", 0) == 2
        printed = capsys.readouterr()
        assert "is a folder; expected the name of a file to write" in printed.err
        assert not printed.out


def test_stats_prints_a_table_and_writes_page_and_json(tmp_path: Path, capsys) -> None:
    root = fake_camvid(tmp_path / "data")
    page, numbers = tmp_path / "s" / "s.html", tmp_path / "s.json"
    assert run("stats", "camvid", "--data", root, "--html", page, "--json", numbers, "--workers", 0) == 0
    assert "bicyclist" in capsys.readouterr().out
    assert "bicyclist" in page.read_text()
    assert json.loads(numbers.read_text())["val"]["images"] == 2


@pytest.mark.parametrize("name", ["camvid", "camvid.quick", "street", "street.quick"])
def test_show_draws_a_sheet(tmp_path: Path, name: str) -> None:
    root = fake_camvid(tmp_path / "data")
    data = () if name.startswith("street") else ("--data", root)
    assert run("show", name, *data, "--out", tmp_path / "sheet.png", "--count", 5) == 0
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width > 1000
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 20


def test_fields_of_a_dataset_can_be_set_and_wrong_ones_name_the_nearest(tmp_path: Path, capsys) -> None:
    root = fake_camvid(tmp_path / "data")
    common = ("check", "camvid", "--data", root, "--workers", 0, "--set")
    assert run(*common, "train_part=[0, 0.5]") == 0
    assert "train: 2 images" in capsys.readouterr().out
    assert run(*common, "train_prt=[0, 0.5]") == 2
    assert "did you mean 'train_part'" in capsys.readouterr().err


def test_an_unknown_dataset_is_an_error_that_names_it(capsys) -> None:
    assert run("check", "kamvid", "--data", ".") == 2
    assert "kamvid" in capsys.readouterr().err


def test_a_recipe_that_does_not_fit_its_data_is_an_error_before_anything_is_written(
    tmp_path: Path, capsys
) -> None:
    root = fake_camvid(tmp_path / "data")
    (tmp_path / "map.yaml").write_text("drop: [sky]\n")
    common = ["train", "camvid.quick", "--data", str(root), "--out", str(tmp_path / "run"), "--set"]
    short = ["training.steps=1", "training.batch=2", "training.workers=0"]
    assert main([*common, f"data.label_map={tmp_path / 'map.yaml'}", *short]) == 2
    assert "class_weights has 11 values, the dataset has 10 classes" in capsys.readouterr().err
    assert main([*common, "sampling.classes=[boat]", *short]) == 2
    assert main([*common, "input.mean=[1]", "input.std=[1]", "input.fill_value=[1]", *short]) == 2
    assert "images have 3 channels, input.mean has 1 values" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_split_without_ground_truth_is_not_evaluated(tmp_path: Path, capsys) -> None:
    root = fake_camvid(tmp_path / "data")
    (root / "val").rename(root / "test")
    (root / "valannot").rename(root / "valannot_")
    fake_camvid(root)
    run_folder = tmp_path / "run"
    short = ["training.steps=1", "training.batch=2", "training.workers=0"]
    arguments = ["--data", str(root), "--out", str(run_folder), "--set", *short]
    assert main(["train", "camvid.quick", *arguments]) == 0
    evaluate = ["evaluate", str(run_folder), "--data", str(root), "--split", "test"]
    for options in ([], ["--crf-search", "iterations=0"]):
        assert main([*evaluate, *options]) == 2
        assert "split 'test': no ground truth to evaluate on" in capsys.readouterr().err
