"""The folder in which the commands of the fault table run: small datasets, models, images, score files.

Everything in it is right; a fault damages a copy.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from tests.data import coco_trees
from tests.data.exports import tools
from tests.data.trees import photo, stripes, write
from tests.serving import models

from segwright.cli.main import main
from segwright.data.reading.label_maps import write_png
from segwright.models.weights.model_file import write_model

RECIPE = """\
!Recipe
format: 1
name: tiny
data: !Folder {}
augmentation: !Compose
  steps:
  - !ProgressiveCrop
    stages:
    - !CropStage {size: [32, 32], scale: [0.8, 1.25]}
model: !SmallFPNConfig {channels: [8, 16], depths: [1, 1], stem_channels: 8, decoder_channels: 8}
loss: !CrossEntropy {}
decoder: !Argmax {}
schedule: !Poly {}
training: !Training {steps: 2, batch: 2, precision: fp32, workers: 0, num_visualizations: 1}
"""
CLASSES = "classes: {sky: 0, leaf: {raw: 1, thing: true}, stone: 2}\n"
OWN_CODE = """\
from segwright.recipes import load_recipe


def tiny():
    return load_recipe("recipe.yaml")


def number():
    return 5
"""


def write_files(root: Path) -> None:
    """Fill ``root``, the current folder, and train the run ``run`` in it."""
    dataset(root / "data")
    write(root / "recipe.yaml", RECIPE)
    write(root / "own.py", OWN_CODE)
    for number in range(3):
        photo(root / "photos" / f"{number}.png", seed=20 + number, size=(24, 32))
    photo(root / "photo.jpg", size=(24, 32))
    for folder in ("truth", "maps"):
        for name in ("a", "b"):
            write_png(root / folder / f"{name}.png", stripes(0, 1, 2))
    write(root / "classes.yaml", CLASSES)
    scored_files(root)
    tools.labelme(root / "labelme")
    write_model(root / "model.safetensors", models.semantic_model(), models.SEMANTIC, name="model")
    write_model(root / "objects.safetensors", models.panoptic_model(), models.PANOPTIC, name="objects")
    torch.save({"model": {"conv1.weight": torch.zeros(4, 3, 3, 3)}}, root / "published.pth")
    assert main(["train", "recipe.yaml", "--data", "data", "--out", "run", "--device", "cpu"]) == 0
    assert main(["predict", "run", "photos", "--out", "done", "--device", "cpu"]) == 0


def dataset(root: Path) -> None:
    """Two images per split with their class maps, and objects in the format of COCO."""
    for split in ("train", "val"):
        rows, images = [], []
        for number in range(2):
            name = f"{split}{number}.png"
            photo(root / "images" / split / name, seed=number, size=(24, 32))
            random = np.random.default_rng((number, split == "val"))
            write_png(root / "labels" / split / name, random.integers(0, 3, (24, 32)).astype(np.uint8))
            images.append({"id": number, "file_name": name, "height": 24, "width": 32})
            outline = [2.0, 2.0, 12.0, 2.0, 12.0, 14.0, 2.0, 14.0]
            rows.append(
                {"id": number + 1, "image_id": number, "category_id": 1, "segmentation": [outline],
                 "area": 120.0, "bbox": [2, 2, 10, 12], "iscrowd": 0}
            )  # fmt: skip
        values = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "leaf"}]}
        write(root / f"instances_{split}.json", json.dumps(values))
    write(root / "classes.yaml", CLASSES)


def scored_files(root: Path) -> None:
    """Ground truth of panoptic and instance segmentation in the formats of COCO, and predictions that equal it."""
    coco_trees.panoptic(root / "made")
    for target in (root, root / "found"):
        target.mkdir(exist_ok=True)
        shutil.copy(root / "made/annotations/panoptic_val2017.json", target / "panoptic_val.json")
        shutil.copytree(root / "made/annotations/panoptic_val2017", target / "panoptic_val")
    shutil.rmtree(root / "made")
    images = [coco_trees.image(number, f"{number}.jpg") for number in (1, 2)]
    rows = [coco_trees.outline(number, number) for number in (1, 2)]
    truth = {"images": images, "annotations": rows, "categories": coco_trees.CATEGORIES}
    coco_trees.save(root / "instances_val.json", truth)
    results = [
        {"image_id": 1, "category_id": 5, "segmentation": {"size": [12, 16], "counts": [24, 48, 120]}, "score": 0.9,
         "bbox": [2, 2, 6, 6]}
    ]  # fmt: skip
    coco_trees.save(root / "results.json", results)
