"""Every recipe's model, made small, with random weights: its ONNX file computes the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.export.exported import images, recipe_model

from segwright.config import to_yaml
from segwright.contracts import Model
from segwright.errors import UserError
from segwright.export import export_model
from segwright.models.weights.model_file import without_weights
from segwright.recipes import load_recipe, recipe_names
from segwright.samples import Sample

pytest.importorskip("onnxruntime")

LIGHT = {"sigmoid.road"}
"""The other recipes are slow tests; tests/export covers street.quick."""


def exported_recipes() -> list[object]:
    """One recipe per exported graph: recipes that differ in data, loss or training alone have the same one."""
    graphs: dict[tuple[str, ...], str] = {}
    for name in recipe_names():
        recipe = load_recipe(name).tiny()
        graph = to_yaml(without_weights(recipe.model)), repr(recipe.input), repr(recipe.decoder), recipe.task
        graphs.setdefault(graph, name)
    return [pytest.param(name, marks=() if name in LIGHT else pytest.mark.slow) for name in graphs.values()]


def set_norm_statistics(model: Model, sample: Sample) -> None:
    """Let batch norm know its input. Otherwise values grow to millions in deep networks, and offsets with them.

    Then the rounding of fp32 decides to which object a pixel belongs.
    """
    for module in model.modules():
        if hasattr(module, "running_mean"):
            module.momentum = 1.0
    image = torch.from_numpy(sample.image).permute(2, 0, 1)
    with torch.no_grad():
        model.train()(model.input.normalize(torch.stack([image, image.flip(2)])))
    model.eval()


@pytest.mark.parametrize("name", exported_recipes())
def test_the_model_of_a_recipe_exports(name: str, tmp_path: Path) -> None:
    model = recipe_model(name)
    path, side = tmp_path / "model.onnx", max(model.input.multiple, 64)
    samples = images(model, (side, 2 * side))
    set_norm_statistics(model, samples[0])
    try:
        exported = export_model(model, path, samples=samples, ground_truth=False)
    except UserError as error:  # some networks work at one size only, and say so
        assert "choose one: --size H,W" in str(error)
        exported = export_model(model, path, size=(side, 2 * side), samples=samples, ground_truth=False)
    assert exported.parity is not None
    assert exported.parity.equal_pixels >= 0.999
