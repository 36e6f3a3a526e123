"""Pytorch-Deeplab: DeepLab v2 and its refinement equal the original code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.golden.fixtures import Fixture, same_after_files

from segwright.importers import load
from segwright.models.layers.resize import upsample

CASES = {"s3_res_deeplab": "res_deeplab", "s3_res_deeplab_refine": "res_deeplab_refine"}


@pytest.mark.parametrize("name", CASES)
def test_outputs(name: str) -> None:
    fixture = Fixture.read(name)
    model = load(fixture.states[0], "deeplab-voc", CASES[name])
    assert model.input.channels == "BGR" and len(model.labels) == 21
    for suffix, images in fixture.images().items():
        with torch.inference_mode():
            output = model(images)
        fixture.agrees(output.logits, f"out_main{suffix}")
        if "out_stage1" in fixture.arrays:
            fixture.agrees(output.auxiliary[0], f"out_stage1{suffix}")


def test_several_scales_are_the_network_at_each_of_them() -> None:
    fixture = Fixture.read("s3_res_deeplab")
    scaled = {f"Scale.{key}": value for key, value in fixture.states[0].items()}
    single = load(scaled, "deeplab-voc", "res_deeplab")
    several = load(scaled, "deeplab-voc", "ms_deeplab")
    images = fixture.images()[""][:, :, :61, :61]
    with torch.inference_mode():
        output = several(images)
        size = output.logits.shape[2:]
        wanted = [single(upsample(images, (side, side))).logits for side in (61, 46, 31)]
    assert len(output.auxiliary) == 3
    for found, scores in zip(output.auxiliary, wanted, strict=True):
        assert torch.equal(found, upsample(scores, size))
    assert torch.equal(output.logits, torch.stack(output.auxiliary).amax(0))
    assert sum(p.numel() for p in single.parameters()) == pytest.approx(44.049e6, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_files(tmp_path: Path, name: str) -> None:
    same_after_files(Fixture.read(name), tmp_path, "deeplab-voc", CASES[name])
