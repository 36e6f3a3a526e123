"""MiniCity tutorial: DeepLabV3 with three norms and UNet equal the original code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.golden.fixtures import Fixture, Step, same_after_files
from torch.nn import functional as F

from segwright.importers import load
from segwright.models.layers.resize import upsample

CASES = {
    "s4_deeplabv3_resnet50_bn": "deeplabv3_resnet50",
    "s4_deeplabv3_resnet50_evonorm": "deeplabv3_resnet50",
    "s4_deeplabv3_resnet50_in": "deeplabv3_resnet50",
    "s4_unet": "unet",
}


@pytest.mark.parametrize("name", CASES)
def test_outputs(name: str) -> None:
    fixture = Fixture.read(name)
    model = load(fixture.states[0], "tutorial", CASES[name])
    for suffix, images in fixture.images().items():
        with torch.inference_mode():
            output = model(images)
        fixture.agrees(upsample(output.logits, images.shape[2:]), f"out_main{suffix}")


@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.slow) for name in list(CASES)[:3]), "s4_unet"]
)
def test_files(tmp_path: Path, name: str) -> None:
    same_after_files(Fixture.read(name), tmp_path, "tutorial", CASES[name])


def test_a_training_step() -> None:
    fixture = Fixture.read("s4_unet_train")
    step = Step(fixture, "tutorial", "unet")
    output = step.model(fixture.tensor("image").double())
    step.check(F.cross_entropy(output.logits, fixture.tensor("label")))
