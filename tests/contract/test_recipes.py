"""Every recipe, made small: data, model, training step, decoder, metrics, checkpoint, loading, prediction."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data import coco_trees, trees
from tests.data.datasets import test_folder, test_nuclei, test_panoptic_folder
from tests.data.formats.test_image_dataset import fake_camvid
from tests.data.trees import photo

import segwright
from segwright.config import walk
from segwright.contracts import QueryOutput
from segwright.models.backbones import TimmConfig
from segwright.models.binary import BinaryConfig
from segwright.recipes import load_recipe, recipe_names
from segwright.training.train import train

TREES = {
    "ade20k": trees.ade20k,
    "camvid": fake_camvid,
    "cityscapes": trees.cityscapes,
    "cityscapes_panoptic": trees.cityscapes,
    "coco": coco_trees.panoptic_splits,
    "eomt.ade20k_semantic": trees.ade20k,
    "eomt.ade20k_panoptic": coco_trees.ade20k_panoptic,
    "eomt.cityscapes_panoptic": trees.cityscapes,
    "eomt.cityscapes_semantic": trees.cityscapes,
    "eomt.coco_instance": coco_trees.instance_splits,
    "eomt.coco_panoptic": coco_trees.panoptic_splits,
    "facade": coco_trees.facade,
    "minicity": partial(trees.cityscapes, flat=True),
    "nuclei": test_nuclei.tree,
    "own.instance": coco_trees.instance_splits,
    "own.panoptic": test_panoptic_folder.tree,
    "own.semantic": test_folder.tree,
    "voc": trees.voc,
}


def replace_val_images(root: Path) -> None:
    """Give val other images than train: an image in both splits is refused."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and "val" in path.parts and not {"labels", "instances"} & {*path.parts}:
            photo(path, seed=99)


# One or two small networks per dataset; the other recipes differ in depth and are slow tests.
LIGHT = {
    "ade20k.mobilenetv2dilated_c1_deepsup",
    "ade20k.resnet18dilated_ppm_deepsup",
    "cityscapes_panoptic.deeplab_mobilenet_v2_os32",
    "minicity.deeplabv3_r50_mixed",
    "minicity.unet",
    "eomt.street_panoptic",
}


def light_or_slow(name: str) -> object:
    light = name in LIGHT or name.startswith(("camvid", "facade", "nuclei", "own", "sigmoid", "street"))
    return pytest.param(name, marks=() if light else pytest.mark.slow)


@pytest.mark.parametrize("name", [light_or_slow(name) for name in recipe_names()])
def test_a_recipe_trains_scores_saves_loads_and_predicts(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name).tiny()
    recipe.training.evaluate_every = recipe.training.save_every = 1.0  # once, at the end
    for config in walk(recipe.model) if name in ("own.panoptic_base", "own.instance_base") else ():
        if isinstance(config, TimmConfig):
            config.name = "convnext_atto"  # own.semantic_base trains the large one
    write_tree = TREES.get(re.sub(r"_(small|base|large)$", "", name), TREES.get(name.partition(".")[0]))
    root = None if write_tree is None else write_tree(tmp_path / "data")
    if root is not None and name.startswith(("facade", "nuclei", "own", "eomt.coco_instance")):
        replace_val_images(root)
    if name.startswith(("own.instance", "eomt.coco_instance")):
        recipe.data.json, recipe.data.images = "{split}.json", "{split}"  # type: ignore[attr-defined]
    if root is None:
        generated = walk(recipe.data)[-1]
        generated.train, generated.val = 4, 2
    summary = train(recipe, root, tmp_path / "run", device="cpu")
    assert summary["finished"]
    assert 0 <= summary["miou"] <= 1
    if recipe.task != "semantic":
        assert 0 <= summary["pq"] <= 1

    model = segwright.load(tmp_path / "run")
    image = recipe.data.open(root, "val")[0].image
    prediction = segwright.predict(model, image)
    assert prediction.semantic.shape == image.shape[:2]
    assert set(np.unique(prediction.semantic)) <= {*range(len(model.labels)), 255}
    assert (prediction.panoptic is None) == (recipe.task == "semantic")
    assert prediction.draw().shape == image.shape
    assert prediction.areas().tolist() == prediction.masks().sum((1, 2)).tolist()

    with torch.inference_mode():  # every size that is a multiple of 8 is accepted
        output = model(torch.zeros(1, len(model.input.mean), 72, 104))
    if isinstance(output, QueryOutput):
        scores = output.classes.mT[:, :-1]
    else:
        scores = output.semantic if recipe.task != "semantic" else output.logits
    assert scores.shape[1] == (1 if isinstance(recipe.model, BinaryConfig) else len(model.labels))
    assert np.isfinite(scores.numpy()).all()
