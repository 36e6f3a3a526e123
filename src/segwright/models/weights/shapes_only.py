"""Networks whose initial weights nobody needs: names and shapes are asked of them, or a file replaces all weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_INITIALIZE = (
    *("uniform_", "normal_", "trunc_normal_", "erfinv_", "mul_", "add_", "div_", "clamp_", "fill_", "zero_"),
    *("kaiming_uniform_", "constant_"),
)


@contextmanager
def shapes_only() -> Iterator[None]:
    """A network that is built inside is on the device "meta", and its initialization is skipped.

    On that device the initialization changes nothing, but takes seconds: PyTorch derives the shape of each result in
    Python.
    """
    with torch.device("meta"), _SkipInitialization(lambda tensor: bool(getattr(tensor, "is_meta", False))):
        yield


@contextmanager
def uninitialized() -> Iterator[None]:
    """A network that is built inside has any values in its parameters; buffers are computed as usual.

    Drawing the initial weights takes seconds for a large network.
    """
    with _SkipInitialization(lambda tensor: isinstance(tensor, nn.Parameter)):
        yield


class _SkipInitialization(TorchFunctionMode):
    """Leaves out in-place operations on the tensors for which ``skips`` is true."""

    def __init__(self, skips: Callable[[Any], bool]) -> None:
        super().__init__()
        self.skips = skips

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}  # torch.nn.init names all arguments
        tensor = args[0] if args else kwargs.get("tensor")
        if getattr(function, "__name__", "") in _INITIALIZE and self.skips(tensor):
            return tensor
        return function(*args, **kwargs)
