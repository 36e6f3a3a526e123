"""CSAIL: encoders and decoders equal the original code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.golden.fixtures import Fixture, Step, same_after_files
from torch.nn import functional as F

from segwright.importers import load
from segwright.models.layers.resize import upsample

CASES = {
    "s2_resnet18dilated_c1_deepsup": "resnet18dilated+c1_deepsup",
    "s2_resnet18dilated_ppm_deepsup": "resnet18dilated+ppm_deepsup",
    "s2_resnet50dilated_ppm_deepsup": "resnet50dilated+ppm_deepsup",
    "s2_resnet50_upernet": "resnet50+upernet",
}


@pytest.mark.parametrize("name", CASES)
def test_outputs(name: str) -> None:
    fixture = Fixture.read(name)
    model = load(fixture.states, "csail", CASES[name])
    assert len(model.labels) == fixture.metadata["num_classes"]
    assert model.input.channels == "RGB"
    for suffix, images in fixture.images().items():
        with torch.inference_mode():
            output = model(images)
            maps = model.backbone(images)[-4:]
        fixture.agrees(output.logits, f"out_logits{suffix}")
        fixture.agrees(output.logits.log_softmax(1), f"out_main{suffix}")
        size = fixture.arrays[f"out_prob{suffix}"].shape[2:]
        fixture.agrees(upsample(output.logits, size).softmax(1), f"out_prob{suffix}")
        if output.auxiliary:
            fixture.agrees(output.auxiliary[0].log_softmax(1), f"out_aux{suffix}")
        for level, each in enumerate(maps):
            found = each.abs().mean().item()
            assert found == pytest.approx(
                fixture.arrays[f"out_feat{level}_mean_abs{suffix}"].item(), rel=1e-5
            )


@pytest.mark.parametrize(
    "name",
    [
        "s2_resnet18dilated_c1_deepsup",
        "s2_resnet18dilated_ppm_deepsup",
        *(pytest.param(name, marks=pytest.mark.slow) for name in list(CASES)[2:]),
    ],
)
def test_files(tmp_path: Path, name: str) -> None:
    same_after_files(Fixture.read(name), tmp_path, "csail", CASES[name])


def test_a_training_step() -> None:
    fixture = Fixture.read("s2_resnet18dilated_c1_deepsup_train")
    step = Step(fixture, "csail", "resnet18dilated+c1_deepsup")
    output = step.model(fixture.tensor("image").double())
    label = fixture.tensor("seg_label")
    main, auxiliary = (
        F.nll_loss(scores.log_softmax(1), label, ignore_index=-1)
        for scores in (output.logits, output.auxiliary[0])
    )
    step.check(main + 0.4 * auxiliary)
    right = (output.logits.argmax(1) == label)[label >= 0].double().mean().item()
    assert right == pytest.approx(fixture.metadata["values"]["acc"], abs=1e-6)
