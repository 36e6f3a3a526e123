"""Transformers that start from weights of another image size: position embeddings are resampled."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests import small

from segwright.contracts import InputContract, Model
from segwright.errors import UserError
from segwright.models.backbones.vit import ViTConfig
from segwright.models.eomt import EoMTConfig
from segwright.models.weights import start_from, write_model

INPUT = InputContract(multiple=16)


def network(name: str, size: tuple[int, int], seed: int) -> tuple[Model, EoMTConfig]:
    torch.manual_seed(seed)
    backbone = ViTConfig(name, patch_size=16, image_size=size, depth=2, channels=48, heads=3)
    config = EoMTConfig(backbone, queries=5, query_blocks=1)
    return config.build(small.LABELS, INPUT).eval(), config


@pytest.mark.parametrize("name", ["vit_small_patch14_reg4_dinov2", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("size", [(96, 96), (64, 112)])
def test_the_network_computes_the_same_at_its_own_size(
    name: str, size: tuple[int, int], tmp_path: Path
) -> None:
    given, config = network(name, (64, 64), 0)
    write_model(tmp_path / "m.safetensors", given, config)
    own, _ = network(name, size, 1)
    done = start_from(own, tmp_path / "m.safetensors")
    assert done.skipped == () and "resampled from 4x4 to" in done.notes[0]
    images = torch.randn(1, 3, *size)
    with torch.no_grad():
        first, second = given.eval()(images), own(images)
    torch.testing.assert_close(first.masks, second.masks, rtol=1e-5, atol=1e-5)


def test_a_map_of_unknown_sides_is_not_resampled(tmp_path: Path) -> None:
    given, config = network("vit_tiny_patch16_224", (48, 112), 0)
    write_model(tmp_path / "m.safetensors", given, config)
    own, _ = network("vit_tiny_patch16_224", (64, 64), 1)
    with pytest.raises(UserError, match=r"backbone\.network\.pos_embed do not fit"):
        start_from(own, tmp_path / "m.safetensors")
