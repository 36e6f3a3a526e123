"""Models with random weights, and pictures, for tests of the server."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from segwright.contracts import InputContract, Model
from segwright.labels import LabelSpace
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.small_panoptic_fpn import SmallPanopticFPNConfig

LABELS = LabelSpace(
    "street", ("road", "sky", "car"), ((128, 64, 128), (70, 130, 180), (0, 0, 142)), (7, 23, 26), things=("car",)
)  # fmt: skip
SMALL = {"channels": (16, 32), "depths": (1, 1), "stem_channels": 16, "decoder_channels": 16}


SEMANTIC = SmallFPNConfig(**SMALL)
PANOPTIC = SmallPanopticFPNConfig(SEMANTIC, branch_channels=16)


def semantic_model() -> Model:
    torch.manual_seed(0)
    return SEMANTIC.build(LABELS, InputContract()).eval()


def panoptic_model() -> Model:
    torch.manual_seed(0)
    return (
        SmallPanopticFPNConfig(SmallFPNConfig(**SMALL), branch_channels=16)
        .build(LABELS, InputContract())
        .eval()
    )


def picture(height: int = 40, width: int = 56, seed: int = 0) -> bytes:
    """A PNG file of colored blocks."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)
    return cv2.imencode(".png", image)[1].tobytes()
