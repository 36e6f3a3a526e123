"""How class and instance share the values of a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.label_maps import Channels, pack


@runtime_checkable
class InstanceEncoding(Protocol):
    """How class and instance share the values of a map."""

    channels: Channels

    def ids(self, raw: NDArray[Any]) -> NDArray[np.int32]:
        """A segment id of every pixel, 0 = void."""

    def about(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The raw class value of each id, and whether it names no single instance (a crowd, if a thing)."""


@dataclass(slots=True)
class ClassTimesDivisor:
    """class x ``divisor`` + instance in one value; ``plain``: values below the divisor are the class alone.

    Cityscapes instanceIds: Divided(1000, plain=True). Mapillary Vistas and KITTI: Divided(256).
    Ids are the values plus one, so that value 0 is not taken for void.
    """

    divisor: int
    plain: bool = False
    channels: Channels = "index"

    def ids(self, raw: NDArray[Any]) -> NDArray[np.int32]:
        """The values plus one."""
        return raw.astype(np.int32) + 1

    def about(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Class and group of each."""
        values = ids - 1
        if self.plain:
            return np.where(values < self.divisor, values, values // self.divisor), values < self.divisor
        return values // self.divisor, np.zeros(len(values), bool)


@dataclass(slots=True)
class ClassInRed:
    """Class in R, instance in 256 G + B (KITTI-STEP); instance 0 of a thing is a group."""

    channels: Channels = "rgb"

    def ids(self, raw: NDArray[Any]) -> NDArray[np.int32]:
        """All three channels as one number plus one."""
        return pack(raw) + 1

    def about(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Class and group of each."""
        values = ids - 1
        return values >> 16, (values & 0xFFFF) == 0


@dataclass(slots=True)
class BitmaskEncoding:
    """BDD100K: class in R, attributes in G (2 = crowd, 1 = ignored), instance in 256 B + A."""

    channels: Channels = "rgba"

    def ids(self, raw: NDArray[Any]) -> NDArray[np.int32]:
        """Class, the two attributes and the instance as one number; void where ignored or without class."""
        red, green, blue, alpha = (raw[..., c].astype(np.int32) for c in range(4))
        ids = (green & 2) << 23 | red << 16 | blue << 8 | alpha
        return np.where((green & 1 == 1) | (red == 0), 0, ids).astype(np.int32)

    def about(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Class and crowd of each."""
        return ids >> 16 & 255, ids >> 24 & 1 == 1


@dataclass(slots=True)
class InstancesOnly:
    """Every value but 0 is an instance of the only class, ``value`` (nuclei and other maps of one class)."""

    value: int = 1
    channels: Channels = "index"

    def ids(self, raw: NDArray[Any]) -> NDArray[np.int32]:
        """The values."""
        return raw.astype(np.int32)

    def about(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The one class."""
        return np.full(len(ids), self.value), np.zeros(len(ids), bool)
