"""Synthetic weights and pictures from names, in numpy alone: whoever knows the name knows every bit.

A tensor of the key K is one draw of ``RandomState(crc32(K as UTF-8))`` in float64, then cast:

    last part of the key           value
    ---------------------------    ------------------------------------------------
    running_mean                   0.1 * standard_normal(shape)
    running_var                    uniform(0.5, 1.5, shape)
    bias, beta                     0.1 * standard_normal(shape)
    gamma, v                       uniform(0.5, 1.5, shape)      (EvoNorm scale and slope)
    weight with 2 or more axes     standard_normal(shape) * sqrt(gain**2 / fan_in), fan_in = product(shape[1:])
    weight with 1 axis             uniform(0.5, 1.5, shape)      (norm scale)
    _tmp_running_mean / _var       the value of the sibling running_mean / running_var
    _running_iter                  ones(shape)
    any integer key                zeros(shape)

``gain`` is 1 unless ``gains`` (key -> gain) names the key.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def random_state(key: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(key.encode("utf-8")) & 0xFFFFFFFF)


def value(
    key: str, shape: Sequence[int], dtype: str = "float32", gains: Mapping[str, float] | None = None
) -> NDArray[Any]:
    """The array of one key."""
    shape = tuple(int(side) for side in shape)
    if not dtype.startswith("float"):
        return np.zeros(shape, dtype=dtype)
    module, _, leaf = key.rpartition(".")
    if leaf in ("_tmp_running_mean", "_tmp_running_var"):
        sibling = leaf.removeprefix("_tmp_")
        return value(f"{module}.{sibling}" if module else sibling, shape, dtype)
    if leaf == "_running_iter":
        return np.ones(shape, dtype=dtype)
    random = random_state(key)
    if leaf in ("running_mean", "bias", "beta"):
        drawn = 0.1 * random.standard_normal(shape)
    elif leaf in ("running_var", "gamma", "v") or (leaf == "weight" and len(shape) < 2):
        drawn = random.uniform(0.5, 1.5, shape)
    elif leaf == "weight":
        gain = float((gains or {}).get(key, 1.0))
        drawn = random.standard_normal(shape) * np.sqrt(gain * gain / float(np.prod(shape[1:])))
    else:
        raise KeyError(f"no rule for key {key!r}")
    return np.asarray(drawn, dtype=dtype)


def state(
    entries: Iterable[tuple[str, Sequence[int], str]], gains: Mapping[str, float] | None = None
) -> dict[str, NDArray[Any]]:
    """Key -> array for (key, shape, dtype), in the same order."""
    return {key: value(key, shape, dtype, gains) for key, shape, dtype in entries}


def picture(tag: str, height: int, width: int) -> NDArray[np.uint8]:
    """A uint8 RGB picture [height, width, 3]: smooth waves, twelve filled boxes and noise."""
    random = random_state(tag)
    y = np.arange(height)[:, None] / 32.0
    x = np.arange(width)[None, :] / 32.0
    values = np.empty((height, width, 3))
    for channel in range(3):
        f = random.uniform(0.5, 2.0, 4)
        values[..., channel] = (
            128 + 45 * np.sin(f[0] * y + f[1] * x + f[2]) + 25 * np.sin(3 * f[3] * x - f[0] * y)
        )
    for _ in range(12):
        top, left = random.randint(0, height), random.randint(0, width)
        rows, columns = random.randint(4, max(5, height // 3)), random.randint(4, max(5, width // 4))
        box = values[top : top + rows, left : left + columns]
        box[...] = 0.5 * box + 0.5 * random.randint(0, 256, 3)
    values += 12 * random.standard_normal(values.shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
