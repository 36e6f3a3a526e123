"""Weight files of other projects: safetensors, PyTorch or Detectron2. Code inside of a file is never run."""

from __future__ import annotations

import argparse
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segwright.errors import UserError, first_line
from segwright.models.weights.safe_pickle import TOO_LARGE, read_arrays
from segwright.models.weights.shards import shards

MAGIC = 0x1950A86A20F9469CFC6C.to_bytes(10, "little")  # in the first bytes of files that torch < 1.6 saved

COMPILED = re.compile(r"(?:(?<=\.)|^)_orig_mod\.")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The state dict in a weight file, taken out of its wrappers; ``UserError`` for anything else.

    See ``unwrap_state_dict``. A file that asks for code to be run is refused. Of a network in several files, any one of
    them or their index stands for all.
    """
    files = shards(path) if path.is_file() else [path]
    if files != [path]:
        return {key: value for file in files for key, value in _read_file(file).items()}
    return _read_file(path)


def _read_file(path: Path) -> dict[str, Tensor]:
    """The state dict of one file."""
    if not path.is_file():
        raise UserError(
            f"{path}: {'is a folder' if path.is_dir() else 'file does not exist'}; expected weights (.pth, .pth.tar, "
            ".pkl or .safetensors); check the path"
        )
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(str(path)))
        except SafetensorError as error:
            raise UserError(f"{path}: not a complete safetensors file ({error})") from None
    checkpoint = read_arrays(path) if _is_plain_pickle(path) else read_pickle(path)
    return unwrap_state_dict(checkpoint, str(path))


def _is_plain_pickle(path: Path) -> bool:
    """Whether a file is a pickle of Detectron2, and no file of PyTorch with the ending .pkl."""
    with path.open("rb") as file:
        header = file.read(32)
    return path.suffix == ".pkl" and not header.startswith(b"PK") and MAGIC not in header


def read_pickle(path: Path) -> Any:
    """The contents of a PyTorch file of tensors, numbers and text; ``UserError`` if it asks for code to be run.

    One class is allowed: ``argparse.Namespace``, a bag of values, in which torchvision's training script keeps its
    options.
    """
    import pickle

    scalar = np.float64().__reduce__()[
        0
    ]  # files may contain scores as numpy numbers; numpy moved this function twice
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    numbers: list[Any] = [argparse.Namespace, np.dtype, *((scalar, name) for name in names)]
    numbers += [type(np.dtype(code)) for code in "fdilq?"]
    try:
        with torch.serialization.safe_globals(numbers), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about damaged files
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it asks for {name[1]}" if name else "it contains more than tensors"
        raise UserError(
            f"{path}: refused to unpickle ({reason}); expected a file of plain tensors; where it was trained, write "
            "one with torch.save(model.state_dict(), FILE)"
        ) from None
    except OSError:
        raise
    except MemoryError:
        raise UserError(f"{path}: {TOO_LARGE}") from None
    except Exception as error:  # a file that is no pickle, or damaged, may raise anything
        reason = first_line(error)
        if not isinstance(error, RuntimeError | EOFError):
            reason = f"{type(error).__name__} {reason}"
        raise UserError(f"{path}: not a complete PyTorch file ({reason})") from None


def unwrap_state_dict(
    checkpoint: Any, where: str, prefixes: Sequence[str] = ("module.",)
) -> dict[str, Tensor]:
    """The state dict in ``checkpoint``: taken out of "state_dict", "model_state_dict" or "model"; arrays as tensors.

    A prefix that all keys share is removed, and "_orig_mod.", which torch.compile puts before the names of a module.
    ``UserError``, which starts with ``where``, if there is no state dict.
    """
    state = checkpoint
    while isinstance(state, Mapping):
        wrappers = ("state_dict", "model_state_dict", "model")
        wrapper = next((name for name in wrappers if isinstance(state.get(name), Mapping)), None)
        if wrapper is None:
            break
        state = state[wrapper]
    tensors: dict[str, Tensor] = {}
    other = 0
    for key, value in state.items() if isinstance(state, Mapping) else ():
        tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        if isinstance(key, str) and isinstance(tensor, Tensor):
            tensors[COMPILED.sub("", key)] = tensor
        elif not str(key).endswith("_extra_state"):  # of modules that keep more than tensors
            other += 1
    if not tensors or other:
        raise UserError(f"{where}: contains no state dict; expected tensors by name")
    while shared := next((prefix for prefix in prefixes if all(k.startswith(prefix) for k in tensors)), None):
        tensors = {key[len(shared) :]: value for key, value in tensors.items()}
    return tensors


def wrapper_prefixes(names: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """The prefixes under which ``names`` contains the most of ``wanted``, for example "model." in files of Lightning.

    Such a file has other tensors beside those of the network. Empty if no prefix leads to any of them.
    """
    present = frozenset(names)
    keys = [*wanted]
    endings = {f".{key}": len(key) for key in keys[:1] + keys[-1:]}
    prefixes = {name[:-length] for name in present for end, length in endings.items() if name.endswith(end)}
    hits = Counter({prefix: sum(prefix + key in present for key in keys) for prefix in prefixes})
    return sorted(prefix for prefix, count in hits.items() if count == max(hits.values()))
