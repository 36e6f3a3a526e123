"""Training on a GPU: fp32, mixed precision, compiled."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests import small

import segwright
from segwright.training.train import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]


@pytest.mark.parametrize(
    ("precision", "compiled"), [("fp32", False), ("bf16", False), ("fp16", False), ("bf16", True)]
)
def test_a_small_run_learns(tmp_path: Path, precision: str, compiled: bool) -> None:
    recipe = small.recipe()
    recipe.training.precision, recipe.training.compile = precision, compiled  # type: ignore[assignment]
    recipe.training.steps, recipe.optim.lr = 150, 0.1
    assert train(recipe, None, tmp_path, device="cuda")["miou"] > 0.5


def test_predictions_are_equal_on_cpu_and_gpu(tmp_path: Path) -> None:
    train(small.recipe(), None, tmp_path, device="cuda")
    image = small.Blocks().open(None, "val")[0].image
    maps = [segwright.predict(segwright.load(tmp_path, device=d), image).semantic for d in ("cpu", "cuda")]
    assert (maps[0] == maps[1]).mean() > 0.999
