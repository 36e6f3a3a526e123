"""Files of weights as others write them: safetensors or PyTorch, wrapped and prefixed; never code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segwright.errors import UserError
from segwright.models.weights.safe_pickle import read_arrays

MAGIC = 0x1950A86A20F9469CFC6C.to_bytes(10, "little")  # at the beginning of what torch.save wrote before 1.6


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file, without what wraps or prefixes them; pickled code is refused."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected weights (.pth, .pth.tar, .pkl or .safetensors)")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(str(path)))
        except SafetensorError as error:
            raise UserError(f"{path}: not a whole safetensors file ({error})") from None
    return unwrap(read_arrays(path) if _is_plain_pickle(path) else read_pickle(path), str(path))


def _is_plain_pickle(path: Path) -> bool:
    """Whether a file is Detectron2's, and not PyTorch's under its ending: a ZIP archive, or a magic number first."""
    with path.open("rb") as file:
        begin = file.read(32)
    return path.suffix == ".pkl" and not begin.startswith(b"PK") and MAGIC not in begin


def read_pickle(path: Path) -> Any:
    """What a PyTorch file holds, if that is plain data; ``UserError`` if it asks for code to be run."""
    import pickle

    scalar = np.float64().__reduce__()[0]  # scores that lie beside the weights; numpy has moved this twice
    places = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    numbers: list[Any] = [np.dtype, *((scalar, place) for place in places)]
    numbers += [type(np.dtype(kind)) for kind in "fdilq?"]
    try:
        with torch.serialization.safe_globals(numbers):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it asks for {asked[1]}" if asked else "it holds more than tensors"
        raise UserError(f"{path}: refused to unpickle ({what}); expected a file of plain tensors") from None
    except (
        RuntimeError,
        EOFError,
        LookupError,
        ValueError,
    ) as error:  # the last two from what is no pickle at all
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{path}: not a whole PyTorch file ({why})") from None


def unwrap(thing: Any, where: str, prefixes: Sequence[str] = ("module.",)) -> dict[str, Tensor]:
    """The state dict inside a checkpoint: out of its wrappers and without prefixes that all its keys share."""
    while isinstance(thing, dict):
        inner = next(
            (k for k in ("state_dict", "model_state_dict", "model") if isinstance(thing.get(k), dict)), None
        )
        if inner is None:
            break
        thing = thing[inner]
    if isinstance(thing, dict):
        thing = {key: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for key, v in thing.items()}
    if not isinstance(thing, dict) or not thing or not all(isinstance(v, Tensor) for v in thing.values()):
        raise UserError(f"{where}: no state dict in it; expected tensors by name")
    while shared := next((p for p in prefixes if all(key.startswith(p) for key in thing)), None):
        thing = {key[len(shared) :]: value for key, value in thing.items()}
    return dict(thing)
