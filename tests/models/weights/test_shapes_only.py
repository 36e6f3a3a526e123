"""Networks without values have the weights of ordinary ones."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from tests import small

from segwright.contracts import InputContract
from segwright.models import EoMTConfig, FPNConfig
from segwright.models.backbones import TimmConfig, ViTConfig
from segwright.models.build import build
from segwright.models.weights.model_file import read_model, write_model
from segwright.models.weights.shapes_only import shapes_only


def test_names_shapes_and_types_are_those_of_an_ordinary_network() -> None:
    for make in (lambda: timm.create_model("convnext_atto"), lambda: build("smallfpn", classes=3)):
        expected = make().state_dict()
        with shapes_only():
            actual = make().state_dict()
        assert [*actual] == [*expected]
        for name, value in expected.items():
            assert actual[name].is_meta
            assert (actual[name].shape, actual[name].dtype) == (value.shape, value.dtype)


def test_a_model_that_is_read_draws_no_random_weights(tmp_path: Path) -> None:
    vit = ViTConfig("vit_small_patch16_dinov3", depth=1, channels=16, heads=1, image_size=(64, 64))
    for config in (
        small.PANOPTIC,
        FPNConfig(TimmConfig("test_efficientnet"), channels=8),
        EoMTConfig(vit, queries=2, query_blocks=1),  # its rotary positions are in no file
    ):
        model = config.build(small.OBJECTS, InputContract()).eval()
        write_model(tmp_path / "m.safetensors", model, config)
        before = torch.get_rng_state()
        again = read_model(tmp_path / "m.safetensors")
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
        buffers = dict(again.named_buffers())
        assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())


def test_tensors_with_values_are_initialized() -> None:
    with shapes_only():
        values = torch.zeros(3, device="cpu").fill_(2.0).mul_(3.0)
    assert values.tolist() == [6.0, 6.0, 6.0]
