"""Encodings of instance maps: how the class and the instance number share the value of a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.label_maps import Channels, pack_rgb


@runtime_checkable
class InstanceEncoding(Protocol):
    """How the class and the instance number share the value of a pixel.

    ``channels``: the kind of map to read.
    """

    channels: Channels

    def ids(self, raw: NDArray[Any]) -> NDArray[np.int32]:
        """The segment id of every pixel [H, W], 0 = void, from the raw values of the map."""

    def decode_ids(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(raw class value of each id, whether it is a group rather than a single instance).

        A group of a thing class is a crowd.
        """


@dataclass(slots=True)
class ClassTimesDivisor:
    """class x ``divisor`` + instance in one value.

    ``plain_class_ids``: values below the divisor are a class alone, without an instance number. Cityscapes
    instanceIds are ``ClassTimesDivisor(1000, plain_class_ids=True)``, Mapillary Vistas and KITTI are
    ``ClassTimesDivisor(256)``. The segment id is the value plus one, because value 0 need not be void.
    """

    divisor: int
    plain_class_ids: bool = False
    channels: Channels = "index"

    def ids(self, raw: NDArray[Any]) -> NDArray[np.int32]:
        """The values plus one."""
        return raw.astype(np.int32) + 1

    def decode_ids(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The class of each id; a plain class id is a group."""
        values = ids - 1
        if self.plain_class_ids:
            is_plain = values < self.divisor
            return np.where(is_plain, values, values // self.divisor), is_plain
        return values // self.divisor, np.zeros(len(values), bool)


@dataclass(slots=True)
class ClassInRed:
    """Class in R, instance number in 256 G + B (KITTI-STEP); instance 0 is a group."""

    channels: Channels = "rgb"

    def ids(self, raw: NDArray[Any]) -> NDArray[np.int32]:
        """65536 R + 256 G + B + 1."""
        return pack_rgb(raw) + 1

    def decode_ids(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The class of each id; instance number 0 is a group."""
        values = ids - 1
        return values >> 16, (values & 0xFFFF) == 0


@dataclass(slots=True)
class BitmaskEncoding:
    """BDD100K: class in R, attributes in G (2 = crowd, 1 = ignored), instance in 256 B + A."""

    channels: Channels = "rgba"

    def ids(self, raw: NDArray[Any]) -> NDArray[np.int32]:
        """Crowd attribute, class and instance number as one integer; void where ignored or without a class."""
        red, green, blue, alpha = (raw[..., c].astype(np.int32) for c in range(4))
        ids = (green & 2) << 23 | red << 16 | blue << 8 | alpha
        return np.where((green & 1 == 1) | (red == 0), 0, ids).astype(np.int32)

    def decode_ids(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The class of each id, and its crowd attribute."""
        return ids >> 16 & 255, ids >> 24 & 1 == 1


@dataclass(slots=True)
class InstancesOnly:
    """Instance numbers of a single class, 0 = void (cell nuclei, for example); ``value``: its raw value."""

    value: int = 1
    channels: Channels = "index"

    def ids(self, raw: NDArray[Any]) -> NDArray[np.int32]:
        """The values of the map."""
        return raw.astype(np.int32)

    def decode_ids(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The single class for each id; none is a group."""
        return np.full(len(ids), self.value), np.zeros(len(ids), bool)
