"""Sliding windows equal the original code of the toolbox."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.golden import recorded
from tests.golden.test_scales import NORMALIZED, Tiny, filled
from torch import nn

from segwright.contracts import PixelOutput
from segwright.inference.published import toolbox_windows

META = recorded.metadata("s1_sliding")


def tiny() -> Tiny:
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 5, 1)
    )
    return Tiny(filled(layers, META["network_keys"], {}), NORMALIZED)


@pytest.mark.parametrize("name", META["cases"])
def test_windows_and_logits_of_the_toolbox(name: str) -> None:
    case, arrays = META["cases"][name], recorded.tensors("s1_sliding")
    windows, model = toolbox_windows(tuple(case["tile"])), tiny()
    (height, width), image = case["image"], arrays[f"{name}_image"]
    with torch.inference_mode():
        output, _ = windows(model, image, ((height, width),))
    assert isinstance(output, PixelOutput)
    assert output.logits.isfinite().all()
    visits = arrays[f"{name}_visits"]
    if case["unvisited_pixels"]:  # the original leaves gaps, with NaN in them; here the windows touch
        first = slice(case["tile"][1])
        assert (
            output.logits[0].permute(1, 2, 0)[:, first] - arrays[f"{name}_logits"][:, first]
        ).abs().max() < 1e-5
        return
    assert boxes(windows, model, (height, width)) == case["tiles_y0y1x0x1"]
    assert (visits > 0).all()
    result, expected = output.logits[0].permute(1, 2, 0), arrays[f"{name}_logits"]
    assert (result - expected).abs().max() <= 2e-6 * expected.abs().max()
    assert torch.equal(result.argmax(2).to(torch.uint8), arrays[f"{name}_argmax"])


def boxes(windows: Any, model: Tiny, size: tuple[int, int]) -> list[list[int]]:
    rows, columns = (windows.axis(size[axis], axis, model.input) for axis in (0, 1))
    return [[y, y + rows.pixels, x, x + columns.pixels] for y in rows.starts for x in columns.starts]
