"""Every recipe, shrunk: open, build, step, decode, score, save, load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.test_pairs import fake_camvid

import segwright
from segwright.data.datasets.camvid import CamVid
from segwright.recipes.find import find, names
from segwright.training.train import train


@pytest.mark.parametrize("name", names())
def test_a_recipe_trains_scores_saves_loads_and_predicts(name: str, tmp_path: Path) -> None:
    recipe = find(name).tiny()
    root = fake_camvid(tmp_path / "data") if isinstance(recipe.data, CamVid) else None
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
