"""Batch norm over processes, with two processes in threads of one program's children."""

from __future__ import annotations

import socket
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tests import forked
from torch import nn

from segwright.models.layers.norm_layers import SynchronizedBatchNorm2d, synchronize_norms


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 1, 1))


def images() -> torch.Tensor:
    return torch.randn(5, 2, 4, 4, generator=torch.Generator().manual_seed(1)) * 3 + 20


def _work(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    model = synchronize_norms(network())
    mine = images()[:2] if rank == 0 else images()[2:]  # uneven on purpose
    mine.requires_grad_(True)
    model(mine).square().sum().backward()
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)
    gradients = [parameter.grad for parameter in model.parameters()]
    torch.save((mine.grad, gradients, dict(model.state_dict())), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_uneven_processes_equal_one_in_values_gradients_and_statistics(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    forked.context()
    mp.start_processes(_work, (port, str(tmp_path)), nprocs=2, start_method="forkserver")

    model, together = network(), images().requires_grad_(True)
    model(together).square().sum().backward()
    results = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    torch.testing.assert_close(torch.cat([r[0] for r in results]), together.grad, rtol=1e-4, atol=1e-5)
    for actual, parameter in zip(results[0][1], model.parameters(), strict=True):
        torch.testing.assert_close(actual, parameter.grad, rtol=1e-4, atol=1e-4)
    assert results[0][2].keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(results[0][2][name], value, rtol=1e-5, atol=1e-5)


def test_alone_it_is_plain_batch_norm() -> None:
    plain, other = network(), synchronize_norms(network())
    assert isinstance(other[1], SynchronizedBatchNorm2d)
    assert torch.equal(plain(images()), other(images()))
    assert plain.state_dict().keys() == other.state_dict().keys()
