"""Networks without values have the weights of ordinary ones."""

from __future__ import annotations

import timm
import torch

from segwright.models.build import build
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


def test_tensors_with_values_are_initialized() -> None:
    with shapes_only():
        values = torch.zeros(3, device="cpu").fill_(2.0).mul_(3.0)
    assert values.tolist() == [6.0, 6.0, 6.0]
