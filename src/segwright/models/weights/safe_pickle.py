"""Read NumPy arrays from a pickle, the format of Detectron2's models, without running code that the file names."""

from __future__ import annotations

import pickle
import re
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.errors import UserError, first_line

NUMBERS = re.compile(r"[biuf][1248]")
# The exceptions that a truncated or crafted file can cause.
BROKEN = (
    pickle.UnpicklingError, struct.error, EOFError, ValueError, TypeError, LookupError, AttributeError, RecursionError,
)  # fmt: skip


TOO_LARGE = "asks for more memory than there is; the file is damaged, or too large for this machine"


def read_arrays(path: Path) -> Any:
    """The contents of the file: containers, text, numbers and arrays of numbers; ``UserError`` for anything else.

    A pickle names functions and classes to be called. Here the names that arrays need are bound to small replacements;
    all other names are refused.
    """
    try:
        with path.open("rb") as file:
            return _plain(_Reader(file).load())
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except MemoryError:
        raise UserError(f"{path}: {TOO_LARGE}") from None
    except BROKEN as error:
        reason = first_line(error)
        raise UserError(f"{path}: not a complete pickle of arrays ({reason})") from None


class _Reader(pickle.Unpickler):
    """An unpickler that knows only the names that arrays need."""

    def find_class(self, module: str, name: str) -> Any:
        """The replacement for a name."""
        full = f"{module.replace('numpy._core', 'numpy.core')}.{name}"
        if full not in NAMES:
            raise UserError(f"refused to unpickle (it asks for {module}.{name}); expected arrays by name")
        return NAMES[full]

    def persistent_load(self, pid: Any) -> Any:
        """Refuse data outside of the file."""
        raise UserError(
            "refused to unpickle (it refers to data outside of the file); expected arrays by name"
        )


class _DType:
    """The replacement for ``numpy.dtype``; plain numbers only."""

    def __init__(self, text: str, align: bool = False, copy: bool = False) -> None:
        if not NUMBERS.fullmatch(text):
            raise UserError(f"refused to unpickle (an array of {text!r}); expected arrays of numbers")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: Any) -> None:
        self.dtype = self.dtype.newbyteorder("<" if state[1] == "|" else state[1])


class _Array:
    """The replacement for ``numpy.ndarray``."""

    def __init__(self, *_: Any) -> None:
        self.values: NDArray[Any] = np.empty(0)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, column_major, data = state
        self.values = _array(data, dtype, shape, "F" if column_major else "C").values


class _Options:
    """The replacement for ``argparse.Namespace``, in which training scripts keep their options."""


def _array(data: bytes | bytearray, dtype: _DType, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    native = dtype.dtype.newbyteorder("=")
    copy = np.frombuffer(data, dtype.dtype).astype(native)  # frombuffer alone gives a read-only array
    array.values = copy.reshape(shape, order="F" if order == "F" else "C")
    return array


def _scalar(dtype: _DType, data: bytes) -> Any:
    return np.frombuffer(data, dtype.dtype)[0]


def _bytes(text: str, codec: str) -> bytes:
    if codec != "latin1":
        raise UserError(f"refused to unpickle (text in {codec!r}); expected arrays by name")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


NAMES: dict[str, Callable[..., Any]] = {
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array,
    "numpy.ndarray": _Array,
    "numpy.dtype": _DType,
    "_codecs.encode": _bytes,
    "__builtin__.bytes": _no_bytes,
    "argparse.Namespace": _Options,
    "collections.OrderedDict": OrderedDict,
}


def _plain(value: Any) -> Any:
    """``value`` with NumPy arrays instead of their replacements."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, _Options):
        return _plain(vars(value))
    return value.values if isinstance(value, _Array) else value
