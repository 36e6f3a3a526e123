"""Inplace-ABN toolbox: PSPNet and DeepLabV3 on ResNet-101 equal the original code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.golden.fixtures import Fixture, Step, same_after_files
from torch.nn import functional as F

from segwright.importers import load
from segwright.models.layers.resize import upsample

CASES = {"s1_pspnet_resnet101": "pspnet", "s1_deeplabv3_resnet101": "deeplabv3"}
MILLIONS = {"pspnet": 70.437, "deeplabv3": 63.227}


@pytest.mark.parametrize("name", CASES)
def test_outputs(name: str) -> None:
    fixture = Fixture.read(name)
    model = load(fixture.states[0], "toolbox", CASES[name], classes=19)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 3) == MILLIONS[CASES[name]]
    assert model.input.channels == "BGR" and len(model.labels) == 19
    for suffix, images in fixture.images().items():
        with torch.inference_mode():
            output = model(images)
        fixture.agrees(output.logits, f"out_main{suffix}")
        fixture.agrees(output.auxiliary[0], f"out_aux{suffix}")


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_files(tmp_path: Path, name: str) -> None:
    same_after_files(Fixture.read(name), tmp_path, "toolbox", CASES[name])


@pytest.mark.slow
def test_a_training_step() -> None:
    fixture = Fixture.read("s1_pspnet_resnet101_train")
    step = Step(fixture, "toolbox", "pspnet")
    output = step.model(fixture.tensor("image").double())
    label = fixture.tensor("label")
    main, auxiliary = (
        F.cross_entropy(upsample(scores, label.shape[1:], align_corners=True), label, ignore_index=255)
        for scores in (output.logits, output.auxiliary[0])
    )
    step.check(main + 0.4 * auxiliary)
