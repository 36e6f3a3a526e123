"""Panoptic maps of sequences: the PNG files of KITTI-STEP and Cityscapes-DVPS, read and written.

Both contain train ids of Cityscapes. In memory a map is class index x 65536 + instance number; void is -1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError
from segwright.labels import LabelSpace

_SHIFT = 16
_VOID = 255
_DVPS_DIVISOR = 1000
_DVPS_VOID = 32


def read_kitti_step(path: Path, labels: LabelSpace) -> NDArray[np.int32]:
    """A map of KITTI-STEP: RGB, class in R, instance number 256 G + B, class 255 is void; int32 [H, W]."""
    colors = read_map(path, "rgb").astype(np.int32)
    return _ids(colors[..., 0], colors[..., 1] << 8 | colors[..., 2], labels, path, {_VOID})


def write_kitti_step(path: Path, ids: NDArray[Any], labels: LabelSpace) -> None:
    """Write a map of ids int [H, W], class index x 65536 + instance number, void negative, as KITTI-STEP has it."""
    classes = _raw_classes(ids, labels, _VOID)
    instances = np.where(ids < 0, 0, ids & 0xFFFF)
    write_png(path, np.stack([classes, instances >> 8, instances & 255], axis=-1).astype(np.uint8))


def read_dvps_truth(path: Path, labels: LabelSpace) -> NDArray[np.int32]:
    """Ground truth of Cityscapes-DVPS: class x 1000 + instance number in 16 bits, class 32 is void; int32 [H, W]."""
    values = read_map(path).astype(np.int32)
    return _ids(values // _DVPS_DIVISOR, values % _DVPS_DIVISOR, labels, path, {_DVPS_VOID, _VOID})


def read_dvps_prediction(path: Path, labels: LabelSpace) -> NDArray[np.int32]:
    """A prediction for Cityscapes-DVPS: RGB, class in R, instance number in G; class 19 is none; int32 [H, W]."""
    colors = read_map(path, "rgb").astype(np.int32)
    return _ids(colors[..., 0], colors[..., 1], labels, path, {len(labels), _DVPS_VOID, _VOID})


def write_dvps_prediction(path: Path, ids: NDArray[Any], labels: LabelSpace) -> None:
    """Write a map of ids int [H, W] as ViP-DeepLab does; ``ValueError`` for instance numbers above 255."""
    instances = np.where(ids < 0, 0, ids & 0xFFFF)
    if instances.max(initial=0) > 255:
        raise ValueError(
            f"instance number {instances.max()}; a prediction for Cityscapes-DVPS has room for 0..255"
        )
    classes = _raw_classes(ids, labels, len(labels))
    write_png(path, np.stack([classes, instances, np.zeros_like(instances)], axis=-1).astype(np.uint8))


def _ids(
    values: NDArray[np.int32], instances: NDArray[np.int32], labels: LabelSpace, path: Path, void: set[int]
) -> NDArray[np.int32]:
    """Ids from raw class values (all below 256) and instance numbers; ``UserError`` for an unknown value."""
    unknown = -2
    table = np.full(256, unknown, np.int32)
    table[[value for value in void if value < len(table)]] = -1
    table[list(labels.raw_values)] = np.arange(len(labels))
    classes = table[values]
    if (classes == unknown).any():
        raise UserError(
            f"{path}: contains class value {values[classes == unknown][0]}; expected the values of {labels.name} "
            f"(0 to {max(labels.raw_values)}) or void ({', '.join(map(str, sorted(void)))}); write it again"
        )
    return np.where(classes < 0, -1, classes << _SHIFT | instances)


def _raw_classes(ids: NDArray[Any], labels: LabelSpace, void: int) -> NDArray[np.int64]:
    table = np.array([*labels.raw_values, void])
    return np.asarray(table[np.where(ids < 0, len(labels), ids.astype(np.int64) >> _SHIFT)])
