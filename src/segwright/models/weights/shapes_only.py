"""Networks without values: what is asked of them are names and shapes of weights, or all weights are replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_INITIALIZE = frozenset(
    ("uniform_", "normal_", "trunc_normal_", "erfinv_", "mul_", "add_", "div_", "clamp_", "fill_", "zero_")
)


@contextmanager
def shapes_only() -> Iterator[None]:
    """A network that is built inside is on the device "meta", and its initialization is skipped.

    On that device the initialization changes nothing, but takes seconds: PyTorch derives the shape of each result in
    Python.
    """
    with torch.device("meta"), _SkipInitialization():
        yield


class _SkipInitialization(TorchFunctionMode):
    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if getattr(function, "__name__", "") in _INITIALIZE and args and getattr(args[0], "is_meta", False):
            return args[0]
        return function(*args, **(kwargs or {}))
