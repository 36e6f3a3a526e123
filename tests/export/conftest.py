"""One exported file for the tests of this folder: writing it takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.export.exported import images, recipe_model

from segwright.contracts import Model
from segwright.export import Parity, export_model


@pytest.fixture(scope="session")
def semantic() -> Model:
    return recipe_model("street.quick")


@pytest.fixture(scope="session")
def semantic_onnx(semantic: Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Parity]:
    path = tmp_path_factory.mktemp("semantic") / "model.onnx"
    samples = images(semantic, (90, 121), (64, 72), (131, 50))
    origin = {"license": "CC0", "pretrained": [{"backbone": "none"}]}
    exported = export_model(
        semantic, path, postprocessing=True, samples=samples, ground_truth=False, name="small", origin=origin
    )
    assert exported.parity is not None
    return path, exported.parity
