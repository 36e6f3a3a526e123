"""The in-place norm: right gradients, less memory."""

from __future__ import annotations

import copy
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tests import forked
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from segwright.models.layers import inplace
from segwright.models.layers.inplace import recompute_activations
from segwright.models.layers.norm_config import Activation, Norm
from segwright.models.layers.norm_layers import norm_layer, synchronize_norms

KINDS: tuple[Activation, ...] = ("identity", "leaky_relu", "relu", "silu")


def layer(activation: Activation, channels: int = 4) -> nn.Module:
    torch.manual_seed(0)
    norm = norm_layer(Norm("inplace", activation), channels)
    with torch.no_grad():
        norm.weight.uniform_(-1.5, 1.5)
        norm.bias.normal_()
    return norm


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("activation", KINDS)
def test_gradients_are_those_of_finite_differences(activation: Activation, training: bool) -> None:
    norm = layer(activation).double().train(training)
    x, residual = (torch.randn(2, 4, 3, 5, dtype=torch.float64).requires_grad_() for _ in range(2))

    def run(weight: Tensor, bias: Tensor, *maps: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(norm, {"weight": weight, "bias": bias}, maps)
        return out

    assert torch.autograd.gradcheck(run, (norm.weight, norm.bias, x))
    assert torch.autograd.gradcheck(run, (norm.weight, norm.bias, x, residual))


def plain(norm: nn.Module, x: Tensor, activation: str) -> Tensor:
    """The formula, and the running values by torch's own batch norm."""
    scale = norm.weight.abs() + norm.eps
    out = F.batch_norm(x, norm.running_mean, norm.running_var, scale, norm.bias, norm.training, 0.1, norm.eps)
    return {"relu": F.relu, "leaky_relu": F.leaky_relu, "identity": lambda x: x, "silu": F.silu}[activation](
        out
    )


@pytest.mark.parametrize("activation", KINDS)
def test_running_values_and_output_are_those_of_batch_norm(activation: Activation) -> None:
    ours, other = layer(activation), layer(activation)
    for seed in range(3):
        x = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(seed)) * 3 + 1
        torch.testing.assert_close(ours(x), plain(other, x, activation))
    torch.testing.assert_close(ours.running_mean, other.running_mean)
    torch.testing.assert_close(ours.running_var, other.running_var)
    assert int(ours.num_batches_tracked) == 3


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("activation", KINDS)
def test_evaluation_gives_the_formula_with_and_without_gradients(activation: Activation, grad: bool) -> None:
    ours = layer(activation).eval()
    x = torch.randn(2, 4, 6, 5)
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(ours(x), plain(ours, x, activation))


def test_training_without_gradients_still_averages() -> None:
    ours, other = layer("relu"), layer("relu")
    x = torch.randn(2, 4, 6, 5)
    with torch.no_grad():
        ours(x)
    other(x)
    torch.testing.assert_close(ours.running_var, other.running_var)
    assert int(ours.num_batches_tracked) == 1


@pytest.mark.parametrize("activation", ["identity", "leaky_relu", "relu"])
def test_in_bf16_it_is_as_exact_as_batch_norm_in_bf16(activation: Activation) -> None:
    x, flow = torch.randn(4, 4, 16, 16, dtype=torch.float64) * 2 + 1, torch.randn(4, 4, 16, 16).double()

    def gradients(norm: nn.Module, kind: torch.dtype, run: Any) -> list[Tensor]:
        leaf = x.detach().clone().to(kind).requires_grad_()
        run(norm, leaf).backward(flow.to(kind))
        return [leaf.grad.double(), norm.weight.grad.double(), norm.bias.grad.double()]

    exact = gradients(layer(activation).double(), torch.float64, lambda norm, x: plain(norm, x, activation))
    usual = gradients(layer(activation), torch.bfloat16, lambda norm, x: plain(norm, x, activation))
    actual = gradients(layer(activation), torch.bfloat16, lambda norm, x: norm(x))
    for truth, other, ours in zip(exact, usual, actual, strict=True):
        assert (ours - truth).norm() <= 2 * (other - truth).norm() + 1e-3 * truth.norm()


class Blocks(nn.Module):
    """Eight residual blocks, each of them two convolutions; the first changes the channels."""

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False), norm_layer(norm, 8)
        self.convs = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(16))
        self.norms = nn.ModuleList(norm_layer(norm, 8) for _ in range(16))
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.stem(x))
        for k in range(0, 16, 2):
            inner = self.norms[k](self.convs[k](x))
            x = self.norms[k + 1](self.convs[k + 1](inner), x)
        scores: Tensor = self.last(x)
        return scores


def kept_maps(net: nn.Module, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> float:
    """What autograd keeps, in float32 maps of eight channels, each storage once."""
    storages: dict[int, int] = {}
    small = 8 * x.shape[2] * x.shape[3] * 2

    def count(kept: Any) -> Any:
        if isinstance(kept, inplace._Recomputation):
            for part in kept.inputs:
                count(part)
        elif kept[0].untyped_storage().nbytes() >= small:
            storages[kept[0].untyped_storage().data_ptr()] = kept[0].untyped_storage().nbytes()
        return kept

    keep = inplace._keep
    monkeypatch.setattr(inplace, "_keep", lambda tensor: count(keep(tensor)))
    held = None
    with saved_tensors_hooks(lambda tensor: count((tensor, 0)), lambda kept: kept[0]):
        held = net(x)
    monkeypatch.undo()
    del held
    return sum(storages.values()) / small / 2


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_it_keeps_far_less_than_batch_norm(activation: Activation, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(1, 3, 32, 32)
    usual = kept_maps(Blocks(Norm("batch", activation)), x, monkeypatch)
    spared = kept_maps(recompute_activations(Blocks(Norm("inplace", activation))), x, monkeypatch)
    # Of a block with four maps (two inputs and two outputs of norms) one of each norm stays, every fourth sum, too.
    assert usual >= 34
    assert spared <= 0.62 * usual
    with torch.autocast("cpu", torch.bfloat16):
        half = kept_maps(recompute_activations(Blocks(Norm("inplace", activation))), x, monkeypatch)
        usual_half = kept_maps(Blocks(Norm("batch", activation)), x, monkeypatch)
    assert half <= 0.62 * usual_half


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "silu"])
def test_computing_again_changes_no_gradient(activation: Activation) -> None:
    x = torch.randn(2, 3, 12, 12)
    nets = [
        Blocks(Norm("inplace", activation)).double(),
        recompute_activations(Blocks(Norm("inplace", activation)).double()),
    ]
    for net in nets:
        net(x.double()).square().sum().backward()
    for (name, one), other in zip(nets[0].named_parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-9, msg=name)


def test_under_autocast_a_network_learns_what_batch_norm_learns() -> None:
    torch.manual_seed(1)
    x, truth = torch.randn(2, 3, 16, 16), torch.randint(0, 2, (2, 16, 16))
    losses = {}
    for kind in ("batch", "inplace"):
        net = recompute_activations(Blocks(Norm(kind, "leaky_relu")))  # type: ignore[arg-type]
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
        for _ in range(5):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                scores = net(x)
            loss = F.cross_entropy(scores.float(), truth)
            loss.backward()
            optimizer.step()
        losses[kind] = loss.item()
    assert losses["inplace"] == pytest.approx(losses["batch"], rel=0.02)


def test_a_copy_of_a_recomputing_model_works_by_itself() -> None:
    net = recompute_activations(Blocks(Norm("inplace")))
    twin = copy.deepcopy(net)
    x = torch.randn(1, 3, 8, 8)
    twin(x).sum().backward()
    net(x).sum().backward()
    assert torch.equal(twin.stem.weight.grad, net.stem.weight.grad)


def test_a_failing_forward_pass_leaves_autograd_as_it_was() -> None:
    net = recompute_activations(Blocks(Norm("inplace")))
    with pytest.raises(RuntimeError):
        net(torch.randn(1, 4, 8, 8))
    x = torch.randn(2, requires_grad=True)
    assert x.exp().grad_fn._raw_saved_result.unpack_hook is None  # type: ignore[union-attr]


def test_a_map_changed_behind_its_back_is_an_error() -> None:
    net = recompute_activations(nn.Sequential(nn.Conv2d(3, 4, 1), layer("relu"), nn.Conv2d(4, 4, 1)))
    maps: list[Tensor] = []
    net[0].register_forward_hook(lambda _, __, out: maps.append(out))
    loss = net(torch.randn(1, 3, 5, 5)).sum()
    with torch.no_grad():
        maps[0].add_(1)
    with pytest.raises(RuntimeError, match=r"modified by an in-?place operation"):
        loss.backward()


def test_it_compiles_and_exports_to_the_formula() -> None:
    net = Blocks(Norm("inplace", "leaky_relu")).eval()
    x = torch.randn(1, 3, 8, 8)
    exported = torch.export.export(net, (x,)).module()
    torch.testing.assert_close(exported(x), net(x))


def _work(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    for kind in ("inplace", "csail_syncbn", "evonorm_b0"):
        net = synchronize_norms(nn.Sequential(nn.Conv2d(2, 3, 1), norm_layer(Norm(kind, "leaky_relu"), 3)))
        mine = _images()[:2] if rank == 0 else _images()[2:]
        _step(net, mine)
        for parameter in net.parameters():
            dist.all_reduce(parameter.grad)
        torch.save(([p.grad for p in net.parameters()], dict(net.state_dict())), f"{folder}/{kind}{rank}.pt")
    dist.destroy_process_group()


def _images() -> Tensor:
    return torch.randn(5, 2, 4, 4, generator=torch.Generator().manual_seed(1)) * 3 + 20


def _step(net: nn.Module, images: Tensor) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    net(images).pow(3).sum().backward()


def test_two_uneven_processes_equal_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    forked.context()
    mp.start_processes(_work, (port, str(tmp_path)), nprocs=2, start_method="forkserver")
    for kind in ("inplace", "csail_syncbn", "evonorm_b0"):
        net = nn.Sequential(nn.Conv2d(2, 3, 1), norm_layer(Norm(kind, "leaky_relu"), 3))
        _step(net, _images())
        # A bias before a norm has no gradient but rounding.
        scale = max(parameter.grad.abs().max().item() for parameter in net.parameters())
        for rank in (0, 1):
            gradients, state = torch.load(tmp_path / f"{kind}{rank}.pt", weights_only=True)
            for actual, parameter in zip(gradients, net.parameters(), strict=True):
                torch.testing.assert_close(actual, parameter.grad, rtol=1e-4, atol=1e-5 * scale)
            for name, value in net.state_dict().items():
                torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-4)
