"""What a network costs at a given image size: parameters, floating-point operations, memory. Nothing is computed."""

from __future__ import annotations

import copy
import weakref
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from segwright.contracts import Model


@dataclass(frozen=True, slots=True)
class ModelCost:
    """The cost of one forward pass in evaluation mode, in float32.

    ``size``: (height, width) of the images after padding. ``flops``: floating-point operations of convolutions, matrix
    products and attention, where a multiply-add counts as two. ``multiply_adds``: half of them; many papers call these
    FLOPs. ``feature_map_bytes``: the largest sum of all feature maps that exist at the same time, the input included.
    ``peak_memory_bytes``: feature maps, parameters and buffers. Memory that a convolution algorithm needs for itself
    is not included.
    """

    batch: int
    size: tuple[int, int]
    parameters: int
    weight_bytes: int
    flops: int
    multiply_adds: int
    feature_map_bytes: int
    peak_memory_bytes: int

    def to_json(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self) | {"size": list(self.size)}


def model_cost(model: Model, size: tuple[int, int] = (512, 512), *, batch: int = 1) -> ModelCost:
    """The cost of ``model`` for ``batch`` images of ``size`` (height, width), padded as the model needs it.

    It is counted with tensors that have shapes but no values, so it takes no memory and little time at any size.
    """
    height, width = model.input.padded_size(size)
    network = _without_values(model)
    images = torch.empty(batch, len(model.input.mean), height, width, device="meta")
    weights = [*network.parameters(), *network.buffers()]
    weight_bytes = sum(tensor.numel() * tensor.element_size() for tensor in weights)
    counter, memory = FlopCounterMode(display=False), _LiveMemory(weights)
    memory.add(images)
    with torch.no_grad(), counter, memory:
        output = network(images)
    del output
    flops = counter.get_total_flops()
    return ModelCost(
        batch,
        (height, width),
        sum(parameter.numel() for parameter in network.parameters()),
        weight_bytes,
        flops,
        flops // 2,
        memory.peak,
        memory.peak + weight_bytes,
    )


def _without_values(model: nn.Module) -> nn.Module:
    """A copy on the meta device, in evaluation mode."""
    known: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        meta: Any = torch.empty_like(tensor, device="meta")
        known[id(tensor)] = nn.Parameter(meta, False) if isinstance(tensor, nn.Parameter) else meta
    return copy.deepcopy(model, known).eval()


class _LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the memory of all tensors that exist at the same time, apart from the weights."""

    def __init__(self, weights: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._current = 0
        self._weights = {_storage(tensor) for tensor in weights}
        self._references: dict[int, int] = {}  # storage -> the tensors that use it

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor):
                self.add(leaf)
        return output

    def add(self, tensor: Tensor) -> None:
        """Count a tensor until it is deleted; tensors that share memory count once."""
        storage, size = _storage(tensor), tensor.untyped_storage().nbytes()
        if storage in self._weights:
            return
        if storage not in self._references:
            self._references[storage] = 0
            self._current += size
            self.peak = max(self.peak, self._current)
        self._references[storage] += 1
        weakref.finalize(tensor, self._release, storage, size)

    def _release(self, storage: int, size: int) -> None:
        self._references[storage] -= 1
        if not self._references[storage]:
            del self._references[storage]
            self._current -= size


def _storage(tensor: Tensor) -> int:
    identity: int = tensor.untyped_storage()._cdata
    return identity
