"""Exported programs take sides that strides do not divide: no decision about a side of the example is kept."""

from __future__ import annotations

import torch
from tests.export.exported import recipe_model

from segwright.export.graph import ExportGraph
from segwright.export.program import trace


def test_feature_maps_of_odd_sides_are_padded_as_in_the_original() -> None:
    model = recipe_model("camvid.finetune")
    step = model.input.multiple
    graph = ExportGraph(model)
    program = trace(model, graph, size=None).module()
    for height, width in ((8 * step, 8 * step), (9 * step, 11 * step), (13 * step, 10 * step)):
        images = torch.rand(1, 3, height, width)
        with torch.no_grad():
            (expected,), (computed,) = graph(images), program(images)
        torch.testing.assert_close(computed, expected, rtol=1e-5, atol=1e-5)
