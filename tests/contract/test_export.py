"""Every recipe's model, made small, with random weights: its ONNX file computes the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.export.exported import images, recipe_model

from segwright.errors import UserError
from segwright.export import export_model
from segwright.recipes import recipe_names

pytest.importorskip("onnxruntime")

LIGHT = {"sigmoid.road"}
"""The other recipes are slow tests; tests/export covers street.quick."""


def light_or_slow(name: str) -> object:
    return pytest.param(name, marks=() if name in LIGHT else pytest.mark.slow)


@pytest.mark.parametrize("name", [light_or_slow(name) for name in recipe_names()])
def test_the_model_of_a_recipe_exports(name: str, tmp_path: Path) -> None:
    model = recipe_model(name)
    path, side = tmp_path / "model.onnx", 2 * max(model.input.multiple, 32)
    samples = images(model, (side, 2 * side))
    try:
        exported = export_model(model, path, samples=samples, ground_truth=False)
    except UserError as error:  # some networks work at one size only, and say so
        assert "choose one: --size H,W" in str(error)
        exported = export_model(model, path, size=(side, 2 * side), samples=samples, ground_truth=False)
    assert exported.parity is not None
    assert exported.parity.equal_pixels >= 0.999
