"""Images with other bands than RGB work in every command: data check, data show, train, evaluate, report, predict."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import segwright as sw
from segwright.cli.main import main
from segwright.data.datasets import OwnData
from segwright.data.reading.label_maps import write_png
from segwright.errors import UserError

RECIPE = """
from segwright.contracts import InputContract
from segwright.data.augmentation import Compose, CropStage, ProgressiveCrop
from segwright.data.datasets import Folder
from segwright.decode.argmax import Argmax
from segwright.losses.pixel import CrossEntropy
from segwright.models.small_fpn import SmallFPNConfig
from segwright.training.recipe import Recipe, Training
from segwright.training.optimizers import AdamW
from segwright.training.schedule import Poly


def bands():
    return Recipe(
        name="bands",
        data=Folder(bands=6, label_map="{labels}"),
        augmentation=Compose((ProgressiveCrop((CropStage((32, 32), (0.8, 1.2)),)),)),
        input=InputContract("bands", (20000.0,) * 6, (9000.0,) * 6, (20000.0,) * 6, multiple=8),
        model=SmallFPNConfig((8, 8, 8, 8), stem_channels=8, decoder_channels=8),
        loss=CrossEntropy(),
        decoder=Argmax(),
        schedule=Poly(),
        optim=AdamW(lr=1e-2),
        training=Training(steps=40, batch=4, workers=0, evaluate_every=1.0, save_every=1.0),
    )
"""


@pytest.mark.parametrize("ending", ["npy", "tif"])
def test_six_bands_of_16_bits(tmp_path: Path, ending: str) -> None:
    root = tmp_path / "data"
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        (root / "images" / split).mkdir(parents=True)
        for index in range(6):
            classes = (np.arange(48)[:, None] + np.arange(40) > random.integers(20, 70)).astype(np.uint8)
            image = random.integers(15000, 25000, (48, 40, 6), np.uint16)
            image[..., 4] += classes * np.uint16(20000)  # only the fifth band shows the class
            path = root / "images" / split / f"{index}.{ending}"
            if ending == "npy":
                np.save(path, image)
            else:
                cv2.imwritemulti(str(path), [np.ascontiguousarray(image[..., b]) for b in range(6)])
            write_png(root / "labels" / split / f"{index}.png", classes)
    (tmp_path / "labels.yaml").write_text("classes: [low, high]\n")
    recipe = tmp_path / "mine.py"
    recipe.write_text(RECIPE.replace("{labels}", str(tmp_path / "labels.yaml")))
    run = tmp_path / "run"
    data = ("--data", str(root))
    assert main(["data", "check", f"{recipe}:bands", *data, "--workers", "0"]) == 0
    assert main(["data", "show", f"{recipe}:bands", *data, "--out", str(tmp_path / "s.png")]) == 0
    assert main(["train", f"{recipe}:bands", *data, "--out", str(run)]) == 0
    assert json.loads((run / "summary.json").read_text())["miou"] > 0.9
    assert main(["report", str(run)]) == 0
    image = root / "images" / "val" / f"0.{ending}"
    assert main(["predict", str(run), str(image), "--out", str(tmp_path / "p")]) == 0
    assert (tmp_path / "p" / "overlay" / "0.png").is_file()


TINY = ("model=smallfpn", "model.channels=[8,8,8,8]", "model.stem_channels=8", "model.decoder_channels=8",
        "training.steps=3", "training.batch=2", "training.workers=0", "training.precision=fp32",
        "training.evaluate_every=1",
        "augmentation.steps.0.stages.0.size=[32, 32]", "augmentation.steps.0.stages.1.size=[32, 32]")  # fmt: skip


@pytest.mark.parametrize(("bands", "dtype"), [(1, np.uint8), (4, np.uint8), (6, np.uint16)])
def test_own_semantic_needs_no_setting_but_the_number_of_bands(
    bands: int, dtype: type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, random = tmp_path / "data", np.random.default_rng(0)
    for split in ("train", "val"):
        (root / "images" / split).mkdir(parents=True)
        for index in range(2):
            image = random.integers(50, 200, (48, 40, bands)).astype(dtype)
            np.save(root / "images" / split / f"{index}.npy", image)
            write_png(root / "labels" / split / f"{index}.png", (image[..., 0] > 120).astype(np.uint8))
    (root / "classes.yaml").write_text("classes: [low, high]\n")
    data, run = ("--data", str(root)), str(tmp_path / "run")
    settings = ("--set", f"data.bands={bands}", *TINY)
    assert main(["data", "check", "own.semantic", *data, "--workers", "0", *settings]) == 0
    assert main(["data", "show", "own.semantic", *data, "--out", str(tmp_path / "sheet.png"), *settings]) == 0
    assert main(["train", "own.semantic", *data, "--out", run, *settings]) == 0
    assert f"input: mean and std of {bands} band" in "".join(capsys.readouterr())
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert main(["train", "own.semantic", *data, "--out", run, *settings]) == 0  # finished: nothing to resume
    assert main(["evaluate", run, *data, "--json", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["miou"] == pytest.approx(summary["miou"])
    image = str(root / "images" / "val" / "0.npy")
    assert main(["predict", run, image, "--out", str(tmp_path / "p")]) == 0
    assert (tmp_path / "p" / "overlay" / "0.png").is_file()
    np.save(tmp_path / "other.npy", np.zeros((48, 40, 7), np.uint8))
    capsys.readouterr()
    assert main(["predict", run, str(tmp_path / "other.npy"), "--out", str(tmp_path / "q")]) == 1
    message = capsys.readouterr().err
    assert f"the model takes images of {bands} band" in message and "data.bands" not in message


def test_images_of_any_bands_are_converted_split_and_refused_by_a_model_for_photographs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    for split in ("train", "val"):
        for name in ("images", "masks"):
            (root / split / name).mkdir(parents=True)
        for index in range(4):
            image = np.random.default_rng(index).integers(0, 999, (24, 20, 6)).astype(np.uint16)
            np.save(root / split / "images" / f"{index}.npy", image)
            write_png(root / split / "masks" / f"{index}.png", (image[..., 0] > 500).astype(np.uint8))
    assert main(["data", "convert", str(root), "--to", "semantic", "--out", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out" / "images").rglob("*.npy"))) == 8
    assert main(["data", "split", str(root / "train"), "--val", "0.5"]) == 0
    model = sw.wrap(torch.nn.Conv2d(3, 2, 1), labels=sw.LabelSpace.of("background", "class_1"))
    with pytest.raises(UserError, match=r"6 bands of uint16; .*; the model takes 8-bit RGB images; convert"):
        sw.evaluate(model, OwnData(task="semantic").open(root, "val"))
