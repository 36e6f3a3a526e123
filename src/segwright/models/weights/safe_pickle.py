"""NumPy arrays in a plain pickle, as Detectron2 writes its models, read without running what the file asks for."""

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

from segwright.errors import UserError

NUMBERS = re.compile(r"[biuf][1248]")
# What reading a cut or crafted file can end in.
BROKEN = (
    pickle.UnpicklingError, struct.error, EOFError, ValueError, TypeError, LookupError, AttributeError, RecursionError,
)  # fmt: skip


def read_arrays(path: Path) -> Any:
    """What the file holds: containers, text, numbers and arrays of numbers; ``UserError`` for anything else.

    A pickle names functions and classes to be called. Here each name stands for a small one of our own, or for none.
    """
    try:
        with path.open("rb") as file:
            return _plain(_Reader(file).load())
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except BROKEN as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a whole pickle of arrays ({reason})") from None


class _Reader(pickle.Unpickler):
    """Knows the names that arrays are written with."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name."""
        full = f"{module.replace('numpy._core', 'numpy.core')}.{name}"
        if full not in NAMES:
            raise UserError(f"refused to unpickle (it asks for {module}.{name}); expected arrays by name")
        return NAMES[full]

    def persistent_load(self, pid: Any) -> Any:
        """Nothing lies outside of the file."""
        raise UserError("refused to unpickle (it points out of the file); expected arrays by name")


class _Kind:
    """Stands for a dtype of plain numbers."""

    def __init__(self, text: str, align: bool = False, copy: bool = False) -> None:
        if not NUMBERS.fullmatch(text):
            raise UserError(f"refused to unpickle (an array of {text!r}); expected arrays of numbers")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder("<" if state[1] == "|" else state[1])


class _Array:
    """Stands for an array until its state is read."""

    def __init__(self, *_: Any) -> None:
        self.values: NDArray[Any] = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_columns, data = state
        self.values = _array(data, kind, shape, "F" if by_columns else "C").values


def _array(data: bytes | bytearray, kind: _Kind, shape: tuple[int, ...], order: str) -> _Array:
    found = _Array()
    native = np.frombuffer(data, kind.dtype).astype(
        kind.dtype.newbyteorder("=")
    )  # a copy: it can be written to
    found.values = native.reshape(shape, order="F" if order == "F" else "C")
    return found


def _scalar(kind: _Kind, data: bytes) -> Any:
    return np.frombuffer(data, kind.dtype)[0]


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
    "numpy.dtype": _Kind,
    "_codecs.encode": _bytes,
    "__builtin__.bytes": _no_bytes,
    "collections.OrderedDict": OrderedDict,
}


def _plain(thing: Any) -> Any:
    """The same with arrays in place of what stood for them."""
    if isinstance(thing, dict):
        return {key: _plain(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [_plain(value) for value in thing]
    return thing.values if isinstance(thing, _Array) else thing
