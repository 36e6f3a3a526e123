"""The edge network: its size, its strides, its two branches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import small

from segwright.contracts import InputContract
from segwright.models.ddrnet import DAPPM, DDRNetConfig
from segwright.models.layers.norm_config import Norm


@pytest.mark.parametrize(("config", "millions"), [(DDRNetConfig(), 5.7), (DDRNetConfig(64, 128), 20.3)])
def test_it_is_as_large_as_the_papers(config: DDRNetConfig, millions: float) -> None:
    with torch.device("meta"):
        model = config.build(small.LABELS, InputContract())
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


def test_scores_and_auxiliary_are_at_stride_eight() -> None:
    model: Any = DDRNetConfig(8, 16, 16).build(small.LABELS, InputContract())
    output = model(torch.randn(2, 3, 129, 65))
    assert output.logits.shape == (2, 3, 17, 9)
    assert [a.shape for a in output.auxiliary] == [(2, 3, 17, 9)]
    assert model.eval()(torch.randn(1, 3, 129, 65)).auxiliary == ()


def test_the_branches_tell_each_other() -> None:
    torch.manual_seed(0)
    model: Any = DDRNetConfig(8, 16, 16).build(small.LABELS, InputContract()).eval()
    images = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        before = model(images).logits
        for step in model.up:  # silence what the coarse branch says to the fine one
            step[0].weight.zero_()
        assert not torch.allclose(before, model(images).logits)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (16, 32)])
def test_context_of_maps_of_any_size(size: tuple[int, int]) -> None:
    module = DAPPM(8, 4, 6, Norm()).eval()
    x = torch.randn(2, 8, *size)
    with torch.inference_mode():
        actual = module(x)
    assert actual.shape == (2, 6, *size)
    assert (actual >= 0).all()
