"""One channel for two classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests import small

from segwright.contracts import InputContract
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.models.binary import BinaryConfig
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.weights.model_file import read_model, write_model

# A mask of 0 and 255, the values of which are no class indices.
MASKS = LabelSpace("masks", ("background", "cell"), ((0, 0, 0), (9, 9, 9)), (0, 255), ignored=())
CONFIG = BinaryConfig(SmallFPNConfig(channels=(16, 32), depths=(1, 1), stem_channels=16, decoder_channels=16))


def test_there_is_one_score_a_pixel_and_the_labels_stay_two(tmp_path: Path) -> None:
    model: Any = CONFIG.build(MASKS, InputContract()).eval()
    images = torch.randn(1, 3, 32, 48)
    assert model(images).logits.shape[1] == 1
    assert model.labels == MASKS
    write_model(tmp_path / "model.safetensors", model, CONFIG)
    again: Any = read_model(tmp_path / "model.safetensors")
    assert again.labels == MASKS
    assert torch.equal(again(images).logits, model(images).logits)


def test_more_classes_are_refused() -> None:
    with pytest.raises(UserError, match="the dataset has 3 classes; expected 2"):
        CONFIG.build(small.LABELS, InputContract())
