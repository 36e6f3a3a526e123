"""Every norm by its field."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import freeze_norms, is_norm, norm_layer, synchronize_norms

KINDS = ("batch", "inplace", "instance", "group", "evonorm_s0", "evonorm_b0", "csail_syncbn", "none")
BATCH = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
EVO = ["gamma", "beta", "v", "running_var"]
KEYS = {
    "batch": BATCH, "inplace": BATCH, "csail_syncbn": BATCH, "group": ["weight", "bias"],
    "evonorm_s0": EVO, "evonorm_b0": EVO, "instance": [], "none": [],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_those_of_published_files(kind: str) -> None:
    assert list(norm_layer(Norm(kind), 8).state_dict()) == KEYS[kind]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_one_pixel_of_one_image_passes_with_finite_gradients(kind: str, training: bool) -> None:
    layer = norm_layer(Norm(kind), 8).train(training)
    before = copy.deepcopy(layer.state_dict())
    x = torch.randn(1, 8, 1, 1, requires_grad=True)
    out = layer(x)
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(x.grad).all()
    for name, value in layer.state_dict().items():
        assert torch.equal(value, before[name]), name  # one value has no statistics


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_type_of_the_map_stays(kind: str, dtype: torch.dtype) -> None:
    layer = norm_layer(Norm(kind), 8)
    if dtype == torch.float64:
        layer.double()
    x = torch.randn(2, 8, 3, 3, dtype=dtype)
    assert layer(x).dtype == dtype
    assert layer(x, x).dtype == dtype


@pytest.mark.parametrize("activation", ["identity", "relu", "relu6", "leaky_relu", "silu", "gelu"])
@pytest.mark.parametrize("kind", ["batch", "inplace", "instance", "group", "csail_syncbn", "none"])
def test_a_residual_is_added_before_the_activation(kind: str, activation: str) -> None:
    norm = Norm(kind, activation, slope=0.2)
    layer, quiet = norm_layer(norm, 4), norm_layer(norm.then("identity"), 4)
    x, residual = torch.randn(2, 2, 4, 5, 3)
    functions = {"identity": lambda x: x, "leaky_relu": lambda x: F.leaky_relu(x, 0.2)}
    function = functions.get(activation) or getattr(F, activation)
    torch.testing.assert_close(layer(x, residual), function(quiet(x) + residual))
    torch.testing.assert_close(layer(x), function(quiet(x)))


@pytest.mark.parametrize("kind", KINDS)
def test_input_and_residual_are_not_written(kind: str) -> None:
    layer = norm_layer(Norm(kind), 4)
    x, residual = torch.randn(2, 2, 4, 5, 3)
    first, second = x.clone(), residual.clone()
    layer(x)
    layer(x, residual)
    assert torch.equal(x, first)
    assert torch.equal(residual, second)


def test_batch_norm_is_that_of_torch_bit_for_bit() -> None:
    layer, other = norm_layer(Norm("batch", "identity"), 4), nn.BatchNorm2d(4)
    x = torch.randn(2, 4, 5, 3)
    assert torch.equal(layer(x), other(x))
    assert torch.equal(layer.running_var, other.running_var)
    assert torch.equal(layer.eval()(x), other.eval()(x))


def test_groups_are_lowered_to_a_divisor_of_the_channels() -> None:
    assert norm_layer(Norm("group"), 48).num_groups == 16
    x = torch.randn(2, 48, 3, 3)
    torch.testing.assert_close(norm_layer(Norm("group", "identity"), 48)(x), F.group_norm(x, 16))
    assert norm_layer(Norm("evonorm_s0"), 7)(torch.randn(2, 7, 3, 3)).isfinite().all()


def test_instance_norm_is_that_of_torch_and_zero_on_one_pixel() -> None:
    layer = norm_layer(Norm("instance", "identity"), 4)
    x = torch.randn(2, 4, 5, 3)
    torch.testing.assert_close(layer(x), F.instance_norm(x))
    assert layer(torch.randn(2, 4, 1, 1)).abs().max() == 0


def test_evonorm_b0_divides_by_the_larger_deviation() -> None:
    layer = norm_layer(Norm("evonorm_b0"), 2)
    x = torch.randn(3, 2, 4, 4)
    batch = (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    own = x + (x.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(layer(x), x / torch.maximum(batch, own))
    variance = x.var((0, 2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(layer.running_var, 0.9 + 0.1 * variance)


@pytest.mark.parametrize("kind", ["evonorm_s0", "evonorm_b0", "csail_syncbn"])
@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_finite_differences(kind: str, training: bool) -> None:
    layer = norm_layer(Norm(kind, "silu"), 4).double().train(training)
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]

    def run(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        # Running values move at each call, which training does not look at.
        out: torch.Tensor = torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))
        return out

    assert torch.autograd.gradcheck(run, (x, *layer.parameters()))


def test_the_debiased_average_forgets_its_beginning() -> None:
    layer = norm_layer(Norm("csail_syncbn", "identity"), 2)
    for seed in range(20):
        layer(torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 + 5)
    # After 20 steps the initial value weighs about 1 / 21; plain averages with this momentum would be at 0.1.
    assert layer.running_mean == pytest.approx(5 * 20 / 21, abs=0.1)


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), norm_layer(Norm("inplace"), 4), norm_layer(Norm("group"), 4)
    )


def test_frozen_statistics_survive_training_mode() -> None:
    model = copy.deepcopy(freeze_norms(net(), statistics=True)).train()
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(2, 2, 4, 4) * 5 + 3
    out = model(x)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    torch.testing.assert_close(out, model.eval()(x))
    model.train()(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_frozen_scales_are_not_trained_but_averages_go_on() -> None:
    model = freeze_norms(net(), affine=True).train()
    model(torch.randn(2, 2, 4, 4) * 5 + 3).sum().backward()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"0.weight", "0.bias"}
    assert int(model[1].num_batches_tracked) == int(model[2].num_batches_tracked) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_norms_are_known_as_norms(kind: str) -> None:
    assert is_norm(norm_layer(Norm(kind), 4))
    assert is_norm(nn.SyncBatchNorm(4))
    assert not is_norm(nn.Conv2d(1, 1, 1))


def test_alone_a_global_norm_is_the_same() -> None:
    x = torch.randn(2, 4, 5, 3)
    for kind in KINDS:
        assert torch.equal(synchronize_norms(norm_layer(Norm(kind), 4))(x), norm_layer(Norm(kind), 4)(x))
