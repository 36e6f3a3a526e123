from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import small
from torch import nn

from segwright.contracts import InputContract, Model
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.models.backbones import TimmConfig
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import norm_layer
from segwright.models.unet import UNetConfig
from segwright.training.ema import ExponentialMovingAverage
from segwright.training.muon import MuonOptimizer, orthogonalize
from segwright.training.optimizers import SGD, Adam, AdamW, Muon, OptimizerSettings
from segwright.training.parameter_groups import (
    build_optimizers,
    freeze,
    parameter_groups,
    set_learning_rate,
)
from segwright.training.processes import Processes
from segwright.training.recipe import OptimizerConfig
from segwright.training.schedule import Cosine, MultiStep, OneCycle, Poly
from segwright.training.state import start
from segwright.training.train import train


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 2, 1)


def test_poly_cosine_and_steps_follow_their_formulas() -> None:
    assert Poly(0.9)(0.25) == pytest.approx(0.75**0.9)
    assert Cosine(final=0.1)(0.5) == pytest.approx(0.55)
    assert [MultiStep((0.5, 0.8))(p) for p in (0.49, 0.5, 0.8)] == pytest.approx([1, 0.1, 0.01])


@pytest.mark.parametrize("kind", [Poly, Cosine, MultiStep])
def test_warm_up_rises_linearly_to_the_schedule(kind: type) -> None:
    schedule = kind(warmup=0.1, warmup_start=0.2)
    without = kind() if kind is not Cosine else None
    expected = 1.0 if without is None else without(0.05)
    assert schedule(0.05) == pytest.approx(0.6 * expected)
    assert schedule(0.0) == pytest.approx(0.2)


def test_layer_decay_lowers_the_learning_rate_from_the_head_to_the_stem() -> None:
    model = UNetConfig(TimmConfig("resnet18")).build(LabelSpace.of("a", "b"), InputContract())
    rates = {
        name: group["peak"]
        for group in parameter_groups(model, AdamW(lr=1.0, layer_decay=0.5))
        for name, _ in group["params"]
    }
    assert {rates[name] for name in rates if not name.startswith("backbone.")} == {1.0}
    stages = ("layer4.1.conv2", "layer4.0.downsample.0", "layer4.0.conv1", "layer3.1.conv1", "conv1")
    found = [rates[f"backbone.network.{name}.weight"] for name in stages]
    assert found == [0.5, 0.25, 0.25, 0.125, 0.5**9]


def test_head_gets_its_factor_and_norms_and_biases_no_decay() -> None:
    groups = parameter_groups(Net(), AdamW(lr=0.1, weight_decay=0.5, head_lr_factor=10))
    values = {
        (group["peak"], group["weight_decay"], sum(p.numel() for _, p in group["params"])) for group in groups
    }
    assert values == {(0.1, 0.0, 12), (0.1, 0.5, 108), (1.0, 0.0, 2), (1.0, 0.5, 8)}


def test_the_rate_is_the_peak_times_the_factor() -> None:
    optimizers = build_optimizers(Net(), SGD(lr=0.1, head_lr_factor=10))
    set_learning_rate(optimizers, 0.5)
    assert {group["lr"] for group in optimizers[0].param_groups} == {0.05, 0.5}


def test_newton_schulz_brings_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((16, 90), (90, 16)):
        values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_muon_decreases_a_quadratic() -> None:
    torch.manual_seed(0)
    weight, goal = nn.Parameter(torch.zeros(8, 4, 3, 3)), torch.randn(8, 4, 3, 3)
    optimizer = MuonOptimizer([weight], lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        loss = (weight - goal).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2 * goal.square().mean().item()


def test_muon_takes_hidden_weights_and_adamw_the_rest() -> None:
    model = small.recipe().model.build(small.LABELS, InputContract())
    hidden, rest = build_optimizers(model, Muon())
    counts = [sum(len(g["params"]) for g in optimizer.param_groups) for optimizer in (hidden, rest)]
    assert sum(counts) == len(list(model.parameters()))
    inside = {id(p) for group in hidden.param_groups for p in group["params"]}
    assert id(model.stem[0][0].weight) not in inside  # type: ignore[index, union-attr]
    assert id(model.head[0].weight) not in inside  # type: ignore[index, union-attr]
    assert id(model.stages[0][0].first[0].weight) in inside  # type: ignore[index, union-attr]


def test_muon_refuses_a_model_without_layers_called_head() -> None:
    model = nn.Sequential(OrderedDict(stem=nn.Conv2d(3, 8, 3), classifier=nn.Conv2d(8, 4, 1)))
    with pytest.raises(UserError, match="found stem, classifier"):
        build_optimizers(model, Muon())


def test_the_average_follows_weights_by_its_decay_and_copies_counters() -> None:
    net = Net()
    ema = ExponentialMovingAverage(net, 0.9)
    before = ema.model.head.weight.clone()
    with torch.no_grad():
        net.head.weight.add_(1.0)
        net.backbone[1].num_batches_tracked.fill_(7)
    ema.update(net, step=10_000)
    torch.testing.assert_close(ema.model.head.weight, before + 0.1)
    assert int(ema.model.backbone[1].num_batches_tracked) == 7


def test_the_average_of_a_short_training_forgets_the_initial_weights() -> None:
    net = Net()
    ema = ExponentialMovingAverage(net, 0.999)
    with torch.no_grad():
        net.head.weight.add_(1.0)
    before = ema.model.head.weight.clone()
    ema.update(net, step=0)
    assert math.isclose(float((ema.model.head.weight - before).mean()), 0.9, rel_tol=1e-4)


def test_one_cycle_is_that_of_torch() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    steps = 40
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=steps, cycle_momentum=False)
    # Torch counts phases from the first to the last step, and divides the maximum by its own defaults.
    ours = OneCycle(peak=(0.3 * steps - 1) / (steps - 1), start=1 / 25, final=1 / 25e4)
    for step in range(steps):
        assert ours(step / (steps - 1)) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        if step + 1 < steps:
            theirs.step()


@pytest.mark.parametrize("kind", [Poly, Cosine, MultiStep])
def test_a_constant_warm_up_multiplies_until_it_ends(kind: type) -> None:
    schedule = kind(warmup=0.1, warmup_start=0.2, warmup_kind="constant")
    assert schedule(0.0) == pytest.approx(0.2)
    assert schedule(0.0999) == pytest.approx(0.2 * (kind()(0.0999) if kind is not Cosine else 1.0))
    assert schedule(0.1) > 0.9


def test_backbone_biases_and_norms_have_rates_and_decays_of_their_own() -> None:
    net = nn.ModuleDict(
        {"backbone": nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), "head": nn.Conv2d(4, 2, 1)}
    )
    optim = SGD(
        lr=1.0, weight_decay=0.5, backbone_lr_factor=0.1, head_lr_factor=10,
        bias_lr_factor=2.0, norm_decay=0.25, bias_decay=0.125,
    )  # fmt: skip
    values = {
        (round(group["peak"], 9), group["weight_decay"], sum(p.numel() for p in group["params"]))
        for group in build_optimizers(net, optim)[0].param_groups
    }
    assert values == {(0.1, 0.5, 108), (0.2, 0.125, 4), (0.1, 0.25, 8), (10.0, 0.5, 8), (20.0, 0.125, 2)}


def test_parameters_of_norms_of_any_shape_have_no_weight_decay() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    net = nn.ModuleDict({"backbone": backbone, "head": norm_layer(Norm("evonorm_s0"), 8)})
    for config in (AdamW(weight_decay=0.5), Muon(weight_decay=0.5)):
        optimizers = build_optimizers(net, config)
        assert isinstance(optimizers[-1], torch.optim.AdamW)
        (group,) = [
            g for g in optimizers[-1].param_groups if any(p is net["head"].gamma for p in g["params"])
        ]
        assert group["weight_decay"] == 0


@dataclass(slots=True)
class RMSprop(OptimizerSettings):
    """An optimizer of a user's own file."""

    alpha: float = 0.9

    def build(self, groups: list[dict[str, Any]]) -> list[torch.optim.Optimizer]:
        return [torch.optim.RMSprop(groups, lr=self.lr, alpha=self.alpha)]


def test_a_custom_optimizer_is_one_dataclass(tmp_path: Path) -> None:
    recipe = small.recipe()
    recipe.optim = RMSprop(lr=1e-3, head_lr_factor=2.0)
    assert isinstance(recipe.optim, OptimizerConfig)
    optimizers = build_optimizers(Net(), recipe.optim)
    assert [type(optimizer) for optimizer in optimizers] == [torch.optim.RMSprop]
    assert {(group["peak"], group["alpha"]) for group in optimizers[0].param_groups} == {
        (1e-3, 0.9),
        (2e-3, 0.9),
    }
    assert train(recipe, None, tmp_path, device="cpu")["finished"]


def test_a_custom_optimizer_with_its_own_groups_follows_the_schedule() -> None:
    class Plain(RMSprop):
        def build(self, groups: list[dict[str, Any]]) -> list[torch.optim.Optimizer]:
            parameters = [parameter for group in groups for _, parameter in group["params"]]
            return [torch.optim.RMSprop(parameters, lr=self.lr)]

    optimizers = build_optimizers(Net(), Plain(lr=0.5))
    set_learning_rate(optimizers, 0.1)
    assert [group["lr"] for group in optimizers[0].param_groups] == pytest.approx([0.05])


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, Muon])
def test_settings_that_do_not_apply_do_not_exist(kind: type) -> None:
    settings = {f.name for f in fields(kind)} - {f.name for f in fields(OptimizerSettings)}
    assert settings == {
        SGD: {"momentum", "nesterov"}, Adam: {"betas"}, AdamW: {"betas"}, Muon: {"momentum", "betas"}
    }[kind]  # fmt: skip


def test_groups_tell_hidden_weights_from_the_first_layer_and_the_head() -> None:
    net = nn.ModuleDict(
        {"backbone": nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), "head": nn.Conv2d(4, 2, 1)}
    )
    groups = parameter_groups(net, AdamW())
    hidden = {name for group in groups if group["hidden"] for name, _ in group["params"]}
    assert hidden == {"backbone.1.weight"}
    assert {group["hidden"] for group in parameter_groups(net["backbone"], AdamW())} == {None}


def test_frozen_parts_are_not_trained() -> None:
    net = freeze(Net(), AdamW(frozen=("backbone.0", "head.bias")))
    moving = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert moving == {"backbone.1.weight", "backbone.1.bias", "head.weight"}
    trained = {id(p) for group in build_optimizers(net, AdamW())[0].param_groups for p in group["params"]}
    assert len(trained) == 3
    with pytest.raises(UserError, match="no parameter begins with 'bakbone'; the parts are backbone, head"):
        freeze(Net(), AdamW(frozen=("bakbone",)))


def test_the_head_keeps_its_factor_when_the_whole_backbone_is_frozen() -> None:
    optim = AdamW(lr=0.1, head_lr_factor=10, frozen=("backbone",))
    groups = parameter_groups(freeze(Net(), optim), optim)
    assert {group["peak"] for group in groups} == {1.0}


def test_two_settings_freeze_norms() -> None:
    net = freeze(Net(), AdamW(freeze_norm_affine=True, freeze_norm_statistics=True)).train()
    net.backbone(torch.randn(2, 3, 5, 5)).sum().backward()
    assert not net.backbone[1].weight.requires_grad
    assert int(net.backbone[1].num_batches_tracked) == 0


class Layers(Model):
    def __init__(self, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(labels, input)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 1), norm_layer(Norm("inplace"), 8))


@dataclass(slots=True)
class InPlaceConfig:
    def build(self, labels: LabelSpace, input: InputContract) -> Layers:
        return Layers(labels, input)


def test_training_with_an_in_place_norm_saves_memory_automatically() -> None:
    recipe = small.recipe()
    recipe.model = InPlaceConfig()
    single = Processes(0, 1, torch.device("cpu"))
    assert start(recipe, small.LABELS, single).model._forward_hooks
    assert not start(small.recipe(), small.LABELS, single).model._forward_hooks


def test_a_learning_rate_of_a_backbone_that_does_not_exist_is_refused() -> None:
    model = small.recipe().model.build(small.LABELS, InputContract())
    with pytest.raises(UserError, match="but SmallFPN has no backbone; expected 1"):
        parameter_groups(model, SGD(backbone_lr_factor=0.1))
