"""Every recipe, shrunk: open, build, step, decode, score, save, load."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data import trees
from tests.data.test_pairs import fake_camvid

import segwright
from segwright.recipes.find import find, names
from segwright.training.train import train

TREES = {
    "ade20k": trees.ade20k,
    "camvid": fake_camvid,
    "cityscapes": trees.cityscapes,
    "minicity": partial(trees.cityscapes, flat=True),
    "voc": trees.voc,
}
# Of each data set a light one or two; the other recipes differ in depth and are walked with the slow tests.
LIGHT = {
    "ade20k.mobilenetv2dilated_c1_deepsup",
    "ade20k.resnet18dilated_ppm_deepsup",
    "minicity.deeplabv3_r50_mixed",
    "minicity.unet",
}


def light_or_slow(name: str) -> object:
    light = name in LIGHT or name.startswith(("camvid", "street"))
    return pytest.param(name, marks=() if light else pytest.mark.slow)


@pytest.mark.parametrize("name", [light_or_slow(name) for name in names()])
def test_a_recipe_trains_scores_saves_loads_and_predicts(name: str, tmp_path: Path) -> None:
    recipe = find(name).tiny()
    make = TREES.get(name.partition(".")[0])
    root = None if make is None else make(tmp_path / "data")
    if root is None:
        recipe.data.train, recipe.data.val = 4, 2  # type: ignore[attr-defined]
    summary = train(recipe, root, tmp_path / "run", device="cpu")
    assert summary["finished"]
    assert 0 <= summary["miou"] <= 1

    model = segwright.load(tmp_path / "run")
    image = recipe.data.open(root, "val")[0].image
    prediction = segwright.predict(model, image)
    assert prediction.semantic.shape == image.shape[:2]
    assert prediction.semantic.max() < len(model.labels)
    assert prediction.draw().shape == image.shape

    with torch.inference_mode():  # any size goes through, and the model keeps its promise about strides
        output = model(torch.zeros(1, len(model.contract.mean), 72, 104))
    assert output.logits.shape[1] == len(model.labels)
    assert np.isfinite(output.logits.numpy()).all()
