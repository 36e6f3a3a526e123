"""Distributed training (DDP): the processes that ``torchrun`` starts, and what they exchange."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from segwright.errors import UserError
from segwright.parallel import STOP_SIGNALS

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Processes:
    """This process, number ``rank`` of ``world``. In a single process every method returns its argument."""

    rank: int
    world: int
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """The elementwise sum over all processes, int64 or float64."""
        if self.world == 1:
            return values
        tensor = torch.from_numpy(np.array(values))
        dist.all_reduce(tensor)
        return tensor.numpy()

    def sum_tensor(self, values: Tensor) -> Tensor:
        """The elementwise sum of a tensor on the device."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def gather(self, value: T) -> list[T]:
        """The value of every process, in rank order."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self.world > 1:
            dist.barrier()

    def parallel(self, model: nn.Module) -> nn.Module:
        """The model with gradients averaged over processes (``DistributedDataParallel``)."""
        if self.world == 1:
            return model
        ids = [self.device.index] if self.device.type == "cuda" else None
        parallel = DistributedDataParallel(model, device_ids=ids)
        # Synchronized batch norm keeps the buffers equal, without a broadcast per step. Newer PyTorch warns of the
        # argument of this name.
        parallel.broadcast_buffers = False
        return parallel


@contextmanager
def join(device: str | None = None, *, timeout: timedelta = timedelta(minutes=30)) -> Iterator[Processes]:
    """The process group that ``torchrun`` started; a group of one if it did not.

    ``timeout``: how long its processes wait for each other.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    own_device = choose_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if world == 1:
        yield Processes(0, 1, own_device)
        return
    backend = "cpu:gloo,cuda:nccl" if own_device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timeout)
    try:
        yield Processes(rank, world, own_device)
    finally:
        dist.destroy_process_group()


@contextmanager
def interrupts(signals: Sequence[int] = STOP_SIGNALS) -> Iterator[list[int]]:
    """A list of the ``signals`` received so far; a later SIGINT raises ``KeyboardInterrupt``.

    A SIGHUP that is ignored (nohup) stays ignored. Signals of the first two seconds count as one: torchrun and timeout
    send a signal that the group received once more.
    """
    received: list[int] = []
    first = float("inf")

    def receive(number: int, _: Any) -> None:
        nonlocal first
        if number == signal.SIGINT and time.monotonic() > first + 2:
            raise KeyboardInterrupt
        first = min(first, time.monotonic())
        received.append(number)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # Python allows handlers only there
        hangup = getattr(signal, "SIGHUP", None)
        for number in signals:
            if number != hangup or signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def choose_device(name: str | None = None, local_rank: int = 0) -> torch.device:
    """The device called ``name``; None: the GPU of this process, or the CPU. ``UserError`` if it does not exist."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device {name}: unknown device; expected cpu, cuda or cuda:N") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UserError(f"--device {name}: PyTorch {torch.__version__} finds no GPU; use --device cpu")
        device = torch.device("cuda", local_rank if device.index is None else device.index)
        torch.cuda.set_device(device)
    return device
