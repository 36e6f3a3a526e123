"""The examples run as a user runs them, on a few small images, and are short."""

from __future__ import annotations

import csv
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import segwright as sw
from segwright.cli.main import main
from tests import small

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SMALL = ["training.steps=2", "training.batch=2", "training.workers=0"]


def run(name: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    return runpy.run_path(str(EXAMPLES / name))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_has_at_most_sixty_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


def test_a_training_loop_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    from segwright.data.datasets import street

    monkeypatch.setattr(street.StreetScenes, "open", _small_open(street.StreetScenes.open))
    names = run("own_training_loop.py", "2", monkeypatch=monkeypatch)
    assert 0 <= names["scores"].miou <= 1  # type: ignore[attr-defined]
    assert len(names["schedule"].get_last_lr()) == 1  # type: ignore[attr-defined]


def _small_open(open_split):  # type: ignore[no-untyped-def]
    def small_split(config, root, split):  # type: ignore[no-untyped-def]
        config.train, config.val, config.size = 8, 2, (64, 96)
        return open_split(config, root, split)

    return small_split


def test_a_dataset_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    rows = []
    for split in ("train", "val"):
        for number in range(2):
            image, mask = f"{split}{number}.jpg", f"{split}{number}_mask.png"
            Image.fromarray(random.integers(0, 256, (48, 64, 3), np.uint8)).save(tmp_path / image)
            Image.fromarray(random.integers(0, 3, (48, 64), np.uint8)).save(tmp_path / mask)
            rows.append({"split": split, "image": image, "mask": mask})
    with open(tmp_path / "images.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["split", "image", "mask"])
        writer.writeheader()
        writer.writerows(rows)
    name, data, run_folder = f"{EXAMPLES / 'own_dataset.py'}:recipe", str(tmp_path), str(tmp_path / "run")
    assert main(["data", "check", name, "--data", data]) == 0
    recipe = sw.recipe(name).tiny()
    recipe.model, recipe.optim.backbone_lr_factor = sw.models.SmallFPNConfig(), 1
    assert sw.train(recipe, data, run_folder, device="cpu")["finished"]
    assert main(["evaluate", run_folder, "--data", data, "--code", str(EXAMPLES / "own_dataset.py")]) == 0
    assert main(["data", "check", name, "--data", str(tmp_path / "run")]) == 2
    assert "images.csv: no such file" in capsys.readouterr().err


def test_a_network_a_loss_and_a_metric_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, run_folder = f"{EXAMPLES / 'own_parts.py'}:recipe", str(tmp_path / "run")
    settings = [*SMALL, "data.train=4", "data.val=2", "data.size=[32,48]", "model.channels=8"]
    assert main(["train", name, "--out", run_folder, "--device", "cpu", "--set", *settings]) == 0
    assert main(["evaluate", run_folder, "--code", str(EXAMPLES / "own_parts.py")]) == 0
    assert "largest_class" in capsys.readouterr().out


def test_the_tversky_loss_of_the_example_is_that_of_the_paper() -> None:
    tversky = runpy.run_path(str(EXAMPLES / "own_parts.py"))["tversky"]
    target = torch.tensor([[[0, 1, 1, 255]]])
    logits = torch.full((1, 2, 1, 4), -50.0)
    logits[0, 0, 0, :2] = logits[0, 1, 0, 2:] = 50.0  # predicted: 0 0 1 1
    first, second = 2 / (1 + 0.3 * 1 + 1), 2 / (1 + 0.7 * 1 + 1)
    assert tversky(logits, target).item() == pytest.approx(1 - (first + second) / 2)


def test_areas_of_a_folder_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sw.train(small.recipe().tiny(), out=tmp_path / "run", device="cpu")
    (tmp_path / "images" / "deep").mkdir(parents=True)
    for name, size in (("a.png", (40, 56)), ("deep/b.jpg", (32, 48))):
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / "images" / name)
    arguments = [str(tmp_path / "run"), str(tmp_path / "images"), str(tmp_path / "areas.csv")]
    run("areas_to_csv.py", *arguments, monkeypatch=monkeypatch)
    with open(tmp_path / "areas.csv", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [(row["image"], row["class"]) for row in rows] == [
        (name, label) for name in ("a.png", "deep/b.jpg") for label in ("dark", "red", "blue")
    ]
    for name, size in (("a.png", 40 * 56), ("deep/b.jpg", 32 * 48)):
        assert sum(int(row["pixels"]) for row in rows if row["image"] == name) == size
