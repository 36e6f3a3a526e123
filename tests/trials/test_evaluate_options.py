"""evaluate says what cannot be scored, and counts as many objects as it is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from tests import small
from tests.data.datasets import test_panoptic_folder
from tests.data.trees import photo, stripes, write

import segwright as sw
from segwright.cli.main import main
from segwright.contracts import InputContract, Model
from segwright.data.check import inspect_sample
from segwright.data.datasets.folder import Folder
from segwright.data.datasets.panoptic_folder import PanopticFolder
from segwright.data.reading.label_maps import write_png
from segwright.labels import LabelSpace
from segwright.models.weights.model_file import write_model


def saved(path: Path, labels: LabelSpace, *, panoptic: bool) -> Model:
    torch.manual_seed(0)
    config = small.PANOPTIC if panoptic else small.TINY
    model = config.build(labels, InputContract()).eval()
    write_model(path, model, config)
    return model


def test_max_detections_is_the_number_of_objects_that_average_precision_counts(tmp_path: Path) -> None:
    root = test_panoptic_folder.tree(tmp_path / "data")
    dataset = PanopticFolder().open(root, "val")
    model = saved(tmp_path / "m.safetensors", dataset.labels, panoptic=True)
    command = ["evaluate", str(tmp_path / "m.safetensors"), "--recipe", "own.panoptic", "--data", str(root)]
    for count in (1, 50):
        file = tmp_path / f"{count}.json"
        assert main([*command, "--max-detections", str(count), "--json", str(file), "--device", "cpu"]) == 0
        expected = sw.evaluate(model, dataset, max_detections=count).to_json()["average_precision"]
        assert json.loads(file.read_text())["average_precision"] == expected
        assert expected["max_detections"] == count


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_a_number_of_detections_below_one_is_refused(
    tmp_path: Path, count: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["evaluate", str(tmp_path), "--max-detections", count])
    except SystemExit as error:  # of argparse
        code = int(error.code or 0)
    assert code == 2 and "--max-detections" in capsys.readouterr().err


def one_class(root: Path) -> Path:
    for split in ("train", "val"):
        photo(root / "images" / split / f"{split}.png")
        write_png(root / "labels" / split / f"{split}.png", stripes(0, 1))
    write(root / "classes.yaml", "classes: {road: 1}\nignored: 0\n")
    return root


def test_evaluate_warns_of_one_class_and_void(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = one_class(tmp_path / "data")
    saved(tmp_path / "m.safetensors", Folder().open(root, "val").labels, panoptic=False)
    command = ["evaluate", str(tmp_path / "m.safetensors"), "--recipe", "own.semantic", "--data", str(root)]
    assert main([*command, "--device", "cpu"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: there is nothing to tell apart: 'road' is the only class")


def test_a_folder_given_to_generated_scenes_is_refused_by_every_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(tmp_path)]
    for command in (["train", "street.quick", "--out", str(tmp_path / "run")], ["data", "stats", "street"],
                    ["data", "show", "sigmoid.road"], ["train", "sigmoid.street"]):  # fmt: skip
        assert main([*command, *data]) == 2
        assert f"--data {tmp_path} has no effect" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("ending", ["tif", "png", "jpg"])
def test_an_orientation_is_noticed_in_every_format(tmp_path: Path, ending: str) -> None:
    from PIL import Image

    root = one_class(tmp_path)
    path = root / "images" / "train" / "train.png"
    path.unlink()
    pixels = np.zeros((12, 16, 3), np.uint8)
    if ending == "tif":
        tifffile.imwrite(path.with_suffix(".tif"), pixels, extratags=[(274, "H", 1, 3, True)])
    else:
        exif = Image.Exif()
        exif[274] = 3
        Image.fromarray(pixels).save(path.with_suffix(f".{ending}"), exif=exif)
    assert inspect_sample(Folder().open(root, "train"), 0).rotated
    assert not inspect_sample(Folder().open(root, "val"), 0).rotated
