"""Query models in exported files: any number of images, and 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.export.exported import SEMANTIC, images, recipe_model

from segwright.contracts import InputContract
from segwright.export.export import export_model
from segwright.export.graph import ExportGraph
from segwright.export.program import trace
from segwright.models import EoMTConfig
from segwright.models.backbones import ViTConfig


# Masked attention in both blocks, in one of them, in none.
@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_the_number_of_images_is_free(progress: float) -> None:
    model = recipe_model("eomt.street_panoptic", depth=2)
    model.set_progress(progress)
    program = trace(model, ExportGraph(model), size=None).module()
    for count in (1, 3):
        batch = torch.rand(count, 3, 64, 64)
        with torch.no_grad():
            output = model.outputs(batch)
            masks, classes = program(batch)[:2]
        assert (masks - output.masks).abs().max() < 1e-4
        assert (classes - output.classes).abs().max() < 1e-4


@pytest.mark.slow
def test_rotary_positions_are_computed_for_images_of_any_size() -> None:
    torch.manual_seed(0)
    backbone = ViTConfig("vit_small_patch16_dinov3", image_size=(64, 64), depth=1, channels=16, heads=1)
    model = EoMTConfig(backbone, queries=2, query_blocks=1, masked_attention=False).build(
        SEMANTIC, InputContract(multiple=16)
    )
    model.eval()
    program = trace(model, ExportGraph(model), size=None).run_decompositions()  # as the exporter to ONNX does
    images = torch.rand(1, 3, 112, 48)
    with torch.no_grad():
        expected, masks = model.outputs(images).masks, program.module()(images)[0]
    torch.testing.assert_close(masks, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("postprocessing", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_file_of_torch_takes_images_of_any_size(postprocessing: bool, tmp_path: Path) -> None:
    model = recipe_model("eomt.street_panoptic", depth=2)  # masked attention in both blocks
    samples = images(model, (64, 64), (41, 90))
    done = export_model(
        model, tmp_path / "a.pt2", postprocessing=postprocessing, samples=samples, minimum_equal_pixels=0.99
    )
    assert done.parity is not None and done.parity.equal_pixels > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["onnx", "xml"])
@pytest.mark.parametrize("name", ["camvid.quick", "street.panoptic_quick", "eomt.street_panoptic"])
def test_eight_bits_of_every_kind_of_model(name: str, suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    if suffix == "xml":
        pytest.importorskip("openvino")
        pytest.importorskip("nncf")
    model = recipe_model(name)
    samples = images(model, (64, 64), (64, 64))
    photographs = [np.asarray(sample.image) for sample in samples]
    done = export_model(
        model, tmp_path / f"a.{suffix}", size=(64, 64), calibration=photographs, samples=samples,
        minimum_equal_pixels=0.0,
    )  # fmt: skip
    assert done.parity is not None
    assert 0.5 < done.parity.equal_pixels <= 1
    assert done.model.description.precision == "int8"
