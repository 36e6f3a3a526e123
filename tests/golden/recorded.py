"""Reads and writes the recorded arrays in ``tests/golden/data`` (see its README).

``NAME.npz`` is a numpy archive, compressed with LZMA. A float32 array is stored as ``ARRAY.differences`` if that is
smaller (``to_differences``). Pictures that ``fill.picture`` draws are not stored; ``generated.json`` lists them.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tests.golden import fill
from torch import Tensor

DATA = Path(__file__).parent / "data"
SUFFIX = ".differences"

CAFFE_MEAN = np.array([104.00698793, 116.66876762, 122.67891434], np.float32)  # blue, green, red
IMAGENET_MEAN, IMAGENET_STD = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)


def metadata(name: str) -> dict[str, Any]:
    """Settings and scalar results of a fixture."""
    values: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    return values


def arrays(name: str) -> dict[str, NDArray[Any]]:
    """Every array of a fixture by its name, bit for bit as recorded."""
    result = {}
    with np.load(DATA / f"{name}.npz") as archive:
        for key, stored in archive.items():
            result[key.removesuffix(SUFFIX)] = from_differences(stored) if key.endswith(SUFFIX) else stored
    for key, source in generated().get(name, {}).items():
        result[key] = draw(source)
        digest = hashlib.sha256(result[key].tobytes()).hexdigest()
        assert digest == source["sha256"], (
            f"{name}, {key}: this numpy draws another picture than the recorded"
        )
    return result


def tensors(name: str) -> dict[str, Tensor]:
    """The arrays as tensors."""
    return {key: torch.from_numpy(value) for key, value in arrays(name).items()}


def generated() -> dict[str, dict[str, dict[str, Any]]]:
    """Fixture -> array -> how it is drawn: ``tag``, ``size``, ``form`` and the SHA-256 of its bytes."""
    values: dict[str, Any] = json.loads((DATA / "generated.json").read_text(encoding="utf-8"))
    return values


def draw(source: dict[str, Any]) -> NDArray[Any]:
    """A picture as uint8 [H, W, 3] (``rgb``), or as the float32 input [1, 3, H, W] of a network."""
    picture = fill.picture(source["tag"], *source["size"])
    if source["form"] == "rgb":
        return picture
    values = picture.astype(np.float32)
    if source["form"] == "caffe":
        values = values[..., ::-1] - CAFFE_MEAN
    else:
        values = (values / np.float32(255) - IMAGENET_MEAN) / IMAGENET_STD
    return np.ascontiguousarray(values.transpose(2, 0, 1))[None]


def write(name: str, values: dict[str, NDArray[Any]], folder: Path = DATA) -> None:
    """Store the arrays that are not drawn, each in its smaller form."""
    drawn = generated().get(name, {})
    stored = {}
    for key, array in values.items():
        if key in drawn:
            assert draw(drawn[key]).tobytes() == array.tobytes(), f"{name}, {key}: differs from its picture"
            continue
        stored[key] = array
        if array.dtype == np.float32 and array.ndim > 1:
            coded = to_differences(array)
            if len(lzma.compress(coded.tobytes())) < len(lzma.compress(array.tobytes())):
                stored[key + SUFFIX] = stored.pop(key)
                stored[key + SUFFIX] = coded
    with zipfile.ZipFile(folder / f"{name}.npz", "w", zipfile.ZIP_LZMA) as archive:
        for key, array in stored.items():
            member = zipfile.ZipInfo(f"{key}.npy")  # a fixed date: equal arrays make equal files
            member.compress_type = zipfile.ZIP_LZMA
            with archive.open(member, "w") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def to_differences(array: NDArray[np.float32]) -> NDArray[np.uint8]:
    """uint8 [4, ...]: the bytes of the differences between neighbors, over rows, then over columns.

    Neighbors are compared as integers that sort like the floats, without loss. The highest bytes of smooth maps are
    nearly all 0.
    """
    bits = array.view(np.uint32)
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    for axis in (-1, -2):
        ordered = np.diff(ordered, axis=axis, prepend=np.zeros_like(ordered.take([0], axis)))
    signed = ordered.view(np.int32)
    zigzag = ((signed << 1) ^ (signed >> 31)).view(
        np.uint32
    )  # small differences of either sign: small numbers
    return np.stack([(zigzag >> shift).astype(np.uint8) for shift in (24, 16, 8, 0)])


def from_differences(planes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The array that ``to_differences`` coded."""
    zigzag = np.zeros(planes.shape[1:], np.uint32)
    for plane in planes:
        zigzag = (zigzag << 8) | plane
    ordered = (zigzag >> 1) ^ (-(zigzag & 1).astype(np.int64)).astype(np.uint32)
    for axis in (-2, -1):
        ordered = ordered.cumsum(axis, dtype=np.uint32)
    bits = np.where(ordered >> 31, ordered & np.uint32(0x7FFFFFFF), ~ordered)
    return bits.astype(np.uint32).view(np.float32)
