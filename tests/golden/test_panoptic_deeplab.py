"""panoptic-deeplab: its networks equal the original code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.golden.fixtures import Fixture, Step, same_after_files

from segwright.contracts import CenterOutput, CenterTargets, Targets
from segwright.importers import load
from segwright.losses.center import CenterLoss
from segwright.models.layers.centers import upsample_centers
from segwright.models.layers.resize import upsample

FAMILY = "panoptic-deeplab"
PANOPTIC = (
    "s5_panoptic_resnet50_os32",
    "s5_panoptic_resnet50_os16",
    "s5_panoptic_mobilenet_v2",
    "s5_panoptic_hrnet48",
)


def architecture(fixture: Fixture) -> str:
    """The stem of its config file."""
    return Path(fixture.metadata["config_file"]).stem


@pytest.mark.parametrize("name", PANOPTIC)
def test_panoptic_networks(name: str) -> None:
    fixture = Fixture.read(name)
    model = load(fixture.states[0], FAMILY, architecture(fixture))
    assert len(model.labels) == fixture.metadata["num_classes"]
    images = fixture.images()[""]
    with torch.inference_mode():
        output = model(images)
    assert isinstance(output, CenterOutput) and output.foreground is None
    full = upsample_centers(output, (images.shape[2], images.shape[3]))
    for part in ("semantic", "center", "offset"):
        fixture.agrees(getattr(output, part), f"out_native_{part}")
        fixture.agrees(getattr(full, part), f"out_{part}")
    recorded, head = fixture.metadata["hyper"], model.head  # widths are read off the tensors
    assert head.instance.scores["center"].classifier.in_channels == recorded["instance"]["head_channels"]
    assert [p[0].out_channels for p in head.semantic.decoder.project] == recorded[
        "low_level_channels_project"
    ]
    assert head.semantic.decoder.aspp.branches[1][0].dilation[0] == recorded["atrous_rates"][0]


@pytest.mark.parametrize(
    "name",
    [
        "s5_panoptic_mobilenet_v2",
        *(pytest.param(name, marks=pytest.mark.slow) for name in PANOPTIC if "mobile" not in name),
    ],
)
def test_panoptic_files(tmp_path: Path, name: str) -> None:
    fixture = Fixture.read(name)
    same_after_files(fixture, tmp_path, FAMILY, architecture(fixture))


def test_a_bare_file_equals_a_checkpoint(tmp_path: Path) -> None:
    fixture = Fixture.read("s5_panoptic_mobilenet_v2")
    name, images = architecture(fixture), fixture.images()[""]
    torch.save(fixture.states[0], tmp_path / "final_state.pth")
    parallel = {f"module.{key}": value for key, value in fixture.states[0].items()}
    torch.save({"start_iter": 90_000, "state_dict": parallel}, tmp_path / "checkpoint.pth.tar")
    with torch.inference_mode():
        bare, wrapped = (
            load(tmp_path / file, FAMILY, name)(images) for file in ("final_state.pth", "checkpoint.pth.tar")
        )
    assert torch.equal(bare.semantic, wrapped.semantic)
    assert torch.equal(bare.offset, wrapped.offset)
    fixture.agrees(bare.center, "out_native_center")


def test_a_training_step() -> None:
    fixture = Fixture.read("s5_panoptic_mobilenet_v2_train")
    step = Step(fixture, FAMILY, "panoptic_deeplab_MBNV2_100_os32_cityscapes_bs16_lr_x2")
    semantic = fixture.tensor("target_semantic")
    centers = CenterTargets(
        fixture.tensor("target_center"),
        fixture.tensor("target_offset"),
        fixture.tensor("target_semantic_weights"),
        fixture.tensor("target_center_weights"),
        fixture.tensor("target_offset_weights"),
        torch.zeros(semantic.shape, dtype=torch.uint8),
    )
    loss, targets = CenterLoss(), Targets(semantic, centers)
    sums = loss(step.model(fixture.tensor("image").double()), targets)
    counts = loss.counts(targets)
    means = {name: value / counts[name] for name, value in sums.items()}
    for name, ours in (("semantic", "top"), ("center", "center"), ("offset", "offset")):
        # Recorded in single precision, unlike their sum.
        assert means[ours].item() == pytest.approx(fixture.metadata["float64_values"][name], rel=1e-7)
    step.check(torch.stack(list(means.values())).sum())


def test_deeplabv3() -> None:
    fixture = Fixture.read("s5_deeplabv3_resnet50")
    model = load(fixture.states[0], FAMILY, "deeplabv3_resnet50", dilation=(False, False, True))
    images = fixture.images()[""]
    with torch.inference_mode():
        logits = model(images).logits
    fixture.agrees(logits, "out_native_semantic")
    fixture.agrees(upsample(logits, images.shape[2:], align_corners=True), "out_semantic")
    wide = load(fixture.states[0], FAMILY, "deeplabv3_resnet50", dilation=(False, True, True))
    with torch.inference_mode():
        assert wide(images).logits.shape[2:] == (9, 41)
