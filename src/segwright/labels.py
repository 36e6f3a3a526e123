"""The label space: names, colors, things, and how raw values of files and class indices translate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_CLASSES = 255  # class indices fit uint8 beside the ignored value 255


@dataclass(frozen=True)
class LabelSpace:
    """The classes of a data set, in order; the data set owns it and everything else asks it.

    ``raw_values[i]`` is the value that stands for class i in files (and is written back); ``also`` maps
    further raw values to a class; ``ignored`` lists raw values without truth, the first of which is written
    where a prediction says nothing. Every other raw value is an error.
    """

    name: str
    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    raw_values: tuple[int, ...]
    ignored: tuple[int, ...] = (255,)
    things: tuple[str, ...] = ()
    also: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        """Refuse a space that contradicts itself."""
        count = len(self.names)
        if not 0 < count <= MOST_CLASSES:
            raise ValueError(f"label space {self.name!r} has {count} classes; expected 1 to {MOST_CLASSES}")
        if len(self.colors) != count or len(self.raw_values) != count:
            raise ValueError(f"label space {self.name!r}: names, colors and raw values differ in number")
        raw = [*self.raw_values, *(value for value, _ in self.also), *self.ignored]
        if len(set(raw)) != len(raw) or len(set(self.names)) != count:
            raise ValueError(f"label space {self.name!r} names a class or a raw value twice")
        unknown = set(self.things) - set(self.names)
        if unknown:
            raise ValueError(f"label space {self.name!r}: things {sorted(unknown)} are not among its classes")

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _to_class(self) -> NDArray[np.int16]:
        """Raw value -> class index, 255 ignored, -1 unknown."""
        pairs = [*zip(self.raw_values, range(len(self)), strict=True), *self.also]
        table = np.full(max([255, *self.ignored, *(raw for raw, _ in pairs)]) + 1, -1, dtype=np.int16)
        for raw, class_index in pairs:
            table[raw] = class_index
        table[list(self.ignored)] = 255
        return table

    def to_classes(self, raw: NDArray[Any]) -> NDArray[np.uint8]:
        """Class indices uint8 [H, W] of a map in raw values; ``ValueError`` lists unknown values."""
        table = self._to_class
        if raw.dtype != np.uint8 and raw.size and (raw.max() >= len(table) or raw.min() < 0):
            strange = np.unique(raw[(raw >= len(table)) | (raw < 0)])
            raise ValueError(self._unknown(strange))
        classes = table[raw]
        if classes.size and classes.min() < 0:
            raise ValueError(self._unknown(np.unique(raw[classes < 0])))
        return np.asarray(classes, dtype=np.uint8)

    def _unknown(self, values: NDArray[Any]) -> str:
        listed = ", ".join(str(v) for v in values[:8]) + (", ..." if len(values) > 8 else "")
        known = f"{min(self.raw_values)}..{max(self.raw_values)}, ignored {', '.join(map(str, self.ignored))}"
        return f"value {listed} is not in label space {self.name!r} ({known})"

    def to_raw(self, classes: NDArray[Any]) -> NDArray[Any]:
        """The map in the data set's raw values, uint8 or uint16, as its benchmark wants it."""
        void = self.ignored[0] if self.ignored else 255
        dtype = np.uint8 if max(*self.raw_values, void) < 256 else np.uint16
        table = np.full(256, void, dtype=dtype)
        table[: len(self)] = self.raw_values
        return np.asarray(table[classes])

    def palette(self) -> NDArray[np.uint8]:
        """Colors of class indices, uint8 [256, 3]; what is no class is black."""
        table = np.zeros((256, 3), dtype=np.uint8)
        table[: len(self)] = self.colors
        return table

    def to_json(self) -> dict[str, Any]:
        """Plain lists and strings, for files that carry the label space."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> LabelSpace:
        """The inverse of ``to_json``."""
        return cls(**{key: _tuples(value) for key, value in values.items()})


def spread_colors(count: int) -> tuple[tuple[int, int, int], ...]:
    """Colors that can be told apart, for classes that have none: the bit-interleaved table of Pascal VOC."""

    def color(index: int) -> tuple[int, int, int]:
        channels = [0, 0, 0]
        for bit in range(8):
            for c in range(3):
                channels[c] |= ((index >> (3 * bit + c)) & 1) << (7 - bit)
        return channels[0], channels[1], channels[2]

    return tuple(color(index + 1) for index in range(count))


def _tuples(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_tuples(item) for item in value)
    return value
