"""S5: its semantic network equals the original code."""

from __future__ import annotations

from pathlib import Path

import torch
from tests.golden.fixtures import Fixture

from segwright.legacy import load
from segwright.models.layers.resize import enlarge


def test_deeplabv3(shared: Path) -> None:
    fixture = Fixture.read(shared, "s5_deeplabv3_resnet50")
    model = load("panoptic-deeplab", "deeplabv3_resnet50", fixture.states[0], dilation=(False, False, True))
    images = fixture.images()[""]
    with torch.inference_mode():
        logits = model(images).logits
    fixture.agrees(logits, "out_native_semantic")
    fixture.agrees(enlarge(logits, images.shape[2:], align_corners=True), "out_semantic")
    wide = load("panoptic-deeplab", "deeplabv3_resnet50", fixture.states[0], dilation=(False, True, True))
    with torch.inference_mode():
        assert wide(images).logits.shape[2:] == (9, 41)
