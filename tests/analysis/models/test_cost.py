from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import segwright as sw
from segwright.analysis import model_cost
from segwright.config import walk
from segwright.contracts import InputContract
from segwright.models.layers.norm_config import Norm
from segwright.models.weights.model_file import without_weights
from segwright.models.weights.shapes_only import shapes_only
from segwright.recipes import load_recipe, recipe_names


def test_the_operations_of_convolutions_are_counted() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.ReLU(), nn.Conv2d(8, 2, 1))
    cost = model_cost(sw.wrap(module, ["a", "b"], InputContract(multiple=8)), (30, 40), batch=2)
    assert cost.size == (32, 40)
    outputs = 2 * 16 * 20
    assert cost.multiply_adds == outputs * (8 * 27 + 2 * 8)
    assert cost.flops == 2 * cost.multiply_adds
    assert cost.parameters == 8 * 27 + 8 + 8 * 2 + 2
    assert cost.weight_bytes == 4 * cost.parameters


class Chain(nn.Module):
    """The input, two maps of 8 channels, and a view; the first map is free when the third is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.a(x)
        second = self.b(first).flatten(2).view(first.shape).relu_()
        del first
        result: torch.Tensor = self.c(second)
        return result


def test_memory_counts_what_exists_at_the_same_time() -> None:
    cost = model_cost(sw.wrap(Chain(), ["a", "b"], InputContract(multiple=1)), (10, 10))
    assert cost.feature_map_bytes == 4 * 100 * (3 + 8 + 8)
    assert cost.peak_memory_bytes == cost.feature_map_bytes + cost.weight_bytes


def networks() -> list[object]:
    """One recipe per kind of network; recipes whose networks differ in numbers alone are slow tests."""
    kinds = set()
    recipes = []
    for name in recipe_names():
        parts = walk(load_recipe(name).model)
        kind = frozenset(repr(part) if isinstance(part, Norm) else type(part).__name__ for part in parts)
        recipes.append(pytest.param(name, marks=pytest.mark.slow if kind in kinds else ()))
        kinds.add(kind)
    return recipes


@pytest.mark.parametrize("name", networks())
def test_the_cost_of_every_recipe_is_known(name: str) -> None:
    recipe = load_recipe(name).tiny()
    config: Any = without_weights(recipe.model)
    labels = sw.LabelSpace.of("road", "car", things=("car",))
    with shapes_only():  # random weights take longer than the cost
        model = config.build(labels, recipe.input)
    cost = model_cost(model, (64, 64))
    assert cost.flops > cost.parameters > 0


def test_nothing_of_the_model_changes() -> None:
    model = sw.models.build("smallfpn", classes=3).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = model_cost(model, (64, 64)), model_cost(model, (128, 128))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert second.flops == pytest.approx(4 * first.flops, rel=0.01)
    assert second.feature_map_bytes == pytest.approx(4 * first.feature_map_bytes, rel=0.01)


def test_the_memory_of_a_real_pass_is_the_same() -> None:
    from segwright.analysis.models.cost import _LiveMemory

    model = sw.models.build("unet", backbone="resnet18", classes=3).network.eval()
    weights = [*model.parameters(), *model.buffers()]
    memory = _LiveMemory(weights)
    images = torch.zeros(1, 3, 64, 64)
    memory.add(images)
    with torch.no_grad(), memory:
        model(images)
    # Without values, a batch norm also returns the statistics of each channel.
    assert memory.peak == pytest.approx(model_cost(model, (64, 64)).feature_map_bytes, rel=1e-3)
