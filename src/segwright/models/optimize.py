"""Faster inference of a trained model: batch norm folded into convolutions, memory format, precision, compilation."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from segwright.contracts import Model, Output
from segwright.errors import UserError
from segwright.models.build import LogitsModel
from segwright.models.layers.debiased import DebiasedBatchNorm2d
from segwright.models.layers.inplace import InPlaceNorm2d
from segwright.models.layers.norm_config import Norm, activate
from segwright.models.layers.norm_layers import ActivatedBatchNorm2d, SynchronizedBatchNorm2d

Precision = Literal["bf16", "fp16"]


class OptimizedModel(Model):
    """A copy of a trained model that computes the same faster; for inference only. ``optimize`` makes it.

    ``network`` is the changed copy. ``folded``: the number of batch norms that became part of a convolution.
    """

    def __init__(
        self,
        model: Model,
        *,
        network: nn.Module,
        folded: int,
        memory_format: torch.memory_format,
        dtype: Precision | None = None,
    ) -> None:
        super().__init__(model.labels, model.input, model.decoder)
        self.network, self.folded, self.memory_format, self.dtype = network, folded, memory_format, dtype

    def forward(self, images: Float[Tensor, "images channels height width"]) -> Output:
        """The output for normalized images; in the precision ``dtype``, if there is one."""
        images = images.contiguous(memory_format=self.memory_format)
        dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16}
        precision = torch.autocast(images.device.type, dtypes[self.dtype]) if self.dtype else nullcontext()
        with precision:
            output: Any = self.network(images)
        return output  # type: ignore[no-any-return]


def optimize(
    model: Model,
    *,
    fold_batch_norm: bool = True,
    channels_last: bool = True,
    dtype: Precision | None = None,
    compile: bool = False,
) -> OptimizedModel:
    """A copy of ``model`` that computes the same faster, in evaluation mode; it cannot be trained.

    ``fold_batch_norm``: multiply the scales of batch norms into the convolutions before them (Jacob et al. 2018,
    section 3.2). The output changes by rounding only: in float32 usually by less than 1e-4 of its largest
    value.
    ``channels_last``: that memory format of weights and images. ``dtype``: mixed precision, bf16 or fp16, for hardware
    that computes in it; the output changes by about 1 percent of its largest value. ``compile``: ``torch.compile``;
    the first images of each size then take minutes. ``UserError`` if fp16 is asked for on a CPU.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    if dtype == "fp16" and device.type == "cpu":
        raise UserError("fp16 is slow on a CPU; use bf16, or a GPU")
    source = model.network if isinstance(model, LogitsModel) else model
    network = copy.deepcopy(source).eval().requires_grad_(False)
    folded = fold_batch_norms(network) if fold_batch_norm else 0
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    compiled: Any = torch.compile(network) if compile else network
    optimized = OptimizedModel(
        model, network=compiled, folded=folded, memory_format=memory_format, dtype=dtype
    )
    optimized.thread_safe = model.thread_safe and not compile
    return optimized.eval()


def fold_batch_norms(model: Model) -> int:
    """Fold batch norms into the convolutions before them, in place; returns how many were folded.

    A batch norm is folded if, in a forward pass, it is the only reader of what the convolution returns and both are
    called once with their own parameters. So weights that are shared or that are used in another way stay as they are.
    """
    model.eval()
    pairs = _conv_norm_pairs(model)
    for conv, norm in pairs:
        _fold(conv, norm)
    folded = {norm for _, norm in pairs}
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if child in folded:
                parent.add_module(name, _without_norm(child))
    return len(pairs)


@dataclass(slots=True)
class _Calls:
    """What a forward pass did with the parameters and outputs of convolutions, by the numbers of tensors."""

    conv_of: dict[int, int] = field(default_factory=dict)  # output of a convolution -> its weight
    norm_input: dict[int, int] = field(default_factory=dict)  # running mean -> the input of the batch norm
    readers: Counter[int] = field(default_factory=Counter)  # tensor -> the functions that read it
    # Not id(), which a later tensor may have again: then all tensors would have to be kept, gigabytes of them.
    numbers: WeakTensorKeyDictionary = field(default_factory=WeakTensorKeyDictionary)
    next_number: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def number(self, tensor: Any) -> int:
        """The number of a tensor, from 1 on; 0 for anything else."""
        if not isinstance(tensor, Tensor):
            return 0
        if tensor not in self.numbers:
            self.numbers[tensor] = next(self.next_number)
        return int(self.numbers[tensor])


class _Recorder(TorchFunctionMode):
    """Records the calls of convolutions and batch norms, and every reader of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = _Calls()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if getattr(func, "__name__", "") in ("__get__", "size", "dim", "numel"):  # reads no values
            return output
        number = self.calls.number
        tensors = [value for value in _flat([args, kwargs]) if isinstance(value, Tensor)]
        self.calls.readers.update({number(tensor) for tensor in tensors})
        if func in (F.conv2d, torch.conv2d):
            self.calls.conv_of[number(output)] = number(args[1] if len(args) > 1 else kwargs["weight"])
        elif func in (F.batch_norm, torch.batch_norm) and isinstance(args[0], Tensor) and len(args) > 1:
            self.calls.norm_input[number(args[1])] = number(args[0])
        return output


def _flat(values: Any) -> list[Any]:
    """The values inside lists, tuples and dicts."""
    if isinstance(values, dict):
        values = list(values.values())
    return (
        [leaf for value in values for leaf in _flat(value)] if isinstance(values, list | tuple) else [values]
    )


def _conv_norm_pairs(model: Model) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """The convolutions that only a batch norm reads, with that batch norm."""
    parameter = next(model.parameters(), None)
    multiple = model.input.multiple
    side = multiple * -(-64 // multiple)
    images = torch.zeros(1, len(model.input.mean), side, side)
    if parameter is not None:
        images = images.to(parameter)  # its device and dtype
    with torch.no_grad(), _Recorder() as recorder:
        model(images)
    calls = recorder.calls
    number = calls.number
    convs = {number(m.weight): m for m in model.modules() if isinstance(m, nn.Conv2d)}
    owners = Counter(number(m.weight) for m in model.modules() if isinstance(m, nn.Conv2d))
    pairs = []
    for norm in model.modules():
        if type(norm) not in _FOLDABLE and type(norm).__name__ not in _FOLDABLE_OF_TIMM:
            continue
        assert isinstance(norm, nn.BatchNorm2d)
        source = calls.norm_input.get(number(norm.running_mean), 0)
        weight = calls.conv_of.get(source, 0)
        once = calls.readers[source] == calls.readers[weight] == calls.readers[number(norm.running_mean)] == 1
        if weight in convs and once and owners[weight] == 1:
            pairs.append((convs[weight], norm))
    return pairs


_FOLDABLE = (
    nn.BatchNorm2d,
    SynchronizedBatchNorm2d,
    ActivatedBatchNorm2d,
    InPlaceNorm2d,
    DebiasedBatchNorm2d,
)
_FOLDABLE_OF_TIMM = ("BatchNormAct2d", "_SynchronizedBatchNormAct2d")


@torch.no_grad()
def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Change weight and bias of ``conv`` so that it returns what ``norm`` returned; computed in float64."""
    assert norm.running_mean is not None and norm.running_var is not None
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    gain = torch.ones_like(mean) if norm.weight is None else norm.weight.double()
    shift = torch.zeros_like(mean) if norm.bias is None else norm.bias.double()
    if isinstance(norm, InPlaceNorm2d):
        gain = gain.abs() + norm.eps
    scale = gain / (variance + norm.eps).sqrt()
    bias = -mean if conv.bias is None else conv.bias.double() - mean
    dtype = conv.weight.dtype
    conv.weight.copy_((conv.weight.double() * scale[:, None, None, None]).to(dtype))
    conv.bias = nn.Parameter((bias * scale + shift).to(dtype), requires_grad=False)


def _without_norm(norm: nn.Module) -> nn.Module:
    """What remains of a folded batch norm: its activation."""
    if isinstance(norm, ActivatedBatchNorm2d | InPlaceNorm2d | DebiasedBatchNorm2d):
        return _Activation(norm.norm)
    if type(norm).__name__ in _FOLDABLE_OF_TIMM:
        timm_norm: Any = norm
        return nn.Sequential(timm_norm.drop, timm_norm.act)
    return nn.Identity()


class _Activation(nn.Module):
    """The activation of a folded batch norm; it may write into its input, which is the output of the convolution."""

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """Add ``residual``, activate."""
        return activate(input, self.norm, residual)
