"""The label space of a dataset: class names, colors, things, and the values that stand for classes in files."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

IGNORED = 255
"""The ignore index of up to 255 classes: pixels of this value in a class map count in no loss and no score."""
WIDE_IGNORED = 65535
"""The ignore index of more than 255 classes, the largest value of a 16-bit file."""


def ignore_index(classes: int) -> int:
    """The value of ignored pixels in class maps of so many classes: ``IGNORED`` or ``WIDE_IGNORED``."""
    return IGNORED if classes <= IGNORED else WIDE_IGNORED


def class_dtype(ignored: int) -> type[np.uint8] | type[np.int32]:
    """The element type of class maps with this ignore index: uint8, or int32 for more than 255 classes."""
    return np.uint8 if ignored == IGNORED else np.int32


def look_up(table: NDArray[Any], indices: NDArray[Any]) -> NDArray[Any]:
    """``table[indices]`` of any shape; several times as fast from bytes to bytes, if the table has all 256."""
    if not (indices.dtype == table.dtype == np.uint8 and table.shape == (256,) and indices.size):
        return np.asarray(table[indices])
    import cv2  # label spaces alone do not wait for it

    rows = np.ascontiguousarray(indices if indices.ndim == 2 else indices.reshape(1, -1))
    return np.asarray(cv2.LUT(rows, table)).reshape(indices.shape)


@dataclass(frozen=True)
class LabelSpace:
    """The classes of a dataset, in the order of their class indices. It belongs to the dataset.

    ``colors``: (red, green, blue), 0..255, of each class. ``raw_values[i]`` is the value of class i in the files of the
    dataset, and the value that is written for it. ``also`` lists further raw values: (raw value, class index).
    ``ignored`` lists the raw values of ignored pixels; the first one is written where a prediction has no class. Raw
    values are 0 or more; any other raw value is an error. ``things`` names the classes that have instances. ``coding``
    "rgb": label maps are color images, and a raw value is 65536 R + 256 G + B. ``category_ids``: the id of each class
    in the dataset's official files in COCO format, if it is not the raw value. ``average_precision``: the rules of the
    dataset's own benchmark for instances.

    ``categories``: (category, names of its labels) of each group of classes; a label may also be an ignored one, if
    ``ignored_names`` holds a name for each of ``ignored``. ``instance_sizes``: (thing, average number of pixels of an
    instance), the constants with which the benchmark weights instances (iIoU).

    Maps of class indices are uint8, and 255 (``ignore_index``) stands for ignored pixels. Above 255 classes they are
    int32, and 65535 stands for ignored pixels.

    ``LabelSpace.of("road", "car")`` is a label space from class names alone.
    """

    MAX_CLASSES: ClassVar[int] = WIDE_IGNORED

    name: str
    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    raw_values: tuple[int, ...]
    ignored: tuple[int, ...] = (255,)
    things: tuple[str, ...] = ()
    also: tuple[tuple[int, int], ...] = ()
    coding: Literal["index", "rgb"] = "index"
    category_ids: tuple[int, ...] = ()
    average_precision: Literal["coco", "cityscapes"] = "coco"
    categories: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ignored_names: tuple[str, ...] = ()
    instance_sizes: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        """``ValueError`` for a label space that contradicts itself."""
        count = len(self.names)
        if not 0 < count <= self.MAX_CLASSES:
            raise ValueError(
                f"label space {self.name!r} has {count} classes; expected 1 to {self.MAX_CLASSES}"
            )
        if len(self.colors) != count or len(self.raw_values) != count:
            raise ValueError(f"label space {self.name!r}: names, colors and raw values differ in number")
        raw = [*self.raw_values, *(value for value, _ in self.also), *self.ignored]
        if len(set(raw)) != len(raw) or len(set(self.names)) != count:
            raise ValueError(f"label space {self.name!r} names a class or a raw value twice")
        if min(raw) < 0:
            raise ValueError(f"label space {self.name!r} has the raw value {min(raw)}; expected 0 or more")
        for name in self.names:
            if not name.isascii() and any("\ud800" <= character <= "\udfff" for character in name):
                raise ValueError(
                    f"label space {self.name!r}: class name {name!r} is damaged text (a half of a character); rename it"
                )
        if self.category_ids and len(set(self.category_ids)) != len(self.category_ids):
            raise ValueError(f"label space {self.name!r} names a category id twice")
        if self.category_ids and len(self.category_ids) != count:
            raise ValueError(f"label space {self.name!r}: names and category ids differ in number")
        unknown = set(self.things) - set(self.names)
        if unknown:
            raise ValueError(f"label space {self.name!r}: things {sorted(unknown)} are not among its classes")
        self._check_categories()

    def _check_categories(self) -> None:
        if self.ignored_names and len(self.ignored_names) != len(self.ignored):
            raise ValueError(f"label space {self.name!r}: ignored values and their names differ in number")
        members = [name for _, names in self.categories for name in names]
        if unknown := set(members) - {*self.names, *self.ignored_names}:
            raise ValueError(
                f"label space {self.name!r}: {min(unknown)!r} has a category but is none of its labels"
            )
        if len(set(members)) != len(members):
            raise ValueError(f"label space {self.name!r}: a label has two categories")
        if unknown := {name for name, _ in self.instance_sizes} - set(self.things):
            raise ValueError(
                f"label space {self.name!r}: {min(unknown)!r} has an instance size but is no thing"
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def ignore_index(self) -> int:
        """The value of ignored pixels in maps of class indices: 255, or 65535 for more than 255 classes.

        All values of such maps are below ``ignore_index`` + 1, the length of tables that they index.
        """
        return ignore_index(len(self.names))

    @property
    def dtype(self) -> type[np.uint8] | type[np.int32]:
        """The element type of maps of class indices: uint8, or int32 for more than 255 classes."""
        return class_dtype(self.ignore_index)

    @classmethod
    def of(cls, *names: str, name: str = "custom", things: Sequence[str] = ()) -> LabelSpace:
        """A label space of class names, with the colors of ``spread_colors``.

        Raw values are 0, 1, ... in order; 255 is ignored (65535 for more than 255 classes).

        ``things``: the names of the classes that have instances. ``ValueError`` for an invalid name or number of names.
        """
        wrong = [value for value in (*names, *things) if not isinstance(value, str)]
        if wrong:
            raise ValueError(
                f"class name {wrong[0]!r} is no string; expected names one by one: LabelSpace.of('road', 'car')"
            )
        if isinstance(things, str):
            raise ValueError(
                f"things={things!r} is a string; expected a sequence of names: things=[{things!r}]"
            )
        raw_values, ignored = tuple(range(len(names))), (ignore_index(len(names)),)
        return cls(name, names, spread_colors(len(names)), raw_values, ignored, tuple(things))

    @cached_property
    def _to_class(self) -> NDArray[np.int16] | NDArray[np.int32]:
        """Class index of each raw value; ``ignore_index`` = ignored, -1 = unknown."""
        pairs = [*zip(self.raw_values, range(len(self)), strict=True), *self.also]
        dtype = np.int16 if self.dtype is np.uint8 else np.int32
        table = np.full(max([255, *self.ignored, *(raw for raw, _ in pairs)]) + 1, -1, dtype=dtype)
        for raw, class_index in pairs:
            table[raw] = class_index
        table[list(self.ignored)] = self.ignore_index
        return table

    @cached_property
    def _byte_to_class(self) -> NDArray[np.uint8]:
        """Class index of each byte; ``ignore_index`` = ignored, ``len(self)`` = unknown."""
        table = self._to_class[:256]
        return np.where(table < 0, len(self), table).astype(np.uint8)

    def to_classes(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Class indices [H, W] of a map of raw values; ``ValueError`` lists unknown values.

        The map is of type ``dtype``; pixels of ``ignored`` values are ``ignore_index``.
        """
        if raw.dtype == np.uint8 and len(self) < IGNORED:
            classes = look_up(self._byte_to_class, raw)
            if not (classes == len(self)).any():
                return classes
        table = self._to_class
        # Bytes are always inside of the table; checking them would cost a pass over the map.
        inside = raw.dtype == np.uint8 or not raw.size or (raw.max() < len(table) and raw.min() >= 0)
        if not inside or ((classes := table[raw]).size and classes.min() < 0):
            raise ValueError(self._describe_unknown(np.setdiff1d(raw, np.flatnonzero(table >= 0))))
        return np.asarray(classes, dtype=self.dtype)

    def known_values(self) -> frozenset[int]:
        """The raw values of all classes and of ignored pixels."""
        return frozenset((*self.raw_values, *self.ignored, *(raw for raw, _ in self.also)))

    def _describe_unknown(self, values: NDArray[Any]) -> str:
        listed = ", ".join(str(v) for v in values[:8]) + (", ..." if len(values) > 8 else "")
        if self.coding == "rgb":
            listed = ", ".join(str(color_of(int(v))) for v in values[:8])
            return f"color {listed} is no class of {self.name!r}, which has {len(self)}"
        known = f"{min(self.raw_values)}..{max(self.raw_values)}, ignored {', '.join(map(str, self.ignored))}"
        return f"value {listed} is no class of {self.name!r} ({known})"

    def to_raw(self, classes: NDArray[Any]) -> NDArray[Any]:
        """The raw values of a map of class indices, as the dataset's benchmark expects them.

        uint8 or uint16 [H, W]; with ``coding`` "rgb" uint8 [H, W, 3]. Indices without a class become the first
        ignored value.
        """
        void = self.ignored[0] if self.ignored else 0 if self.coding == "rgb" else self.ignore_index
        if self.coding == "rgb":
            colors = np.full((self.ignore_index + 1, 3), color_of(void), dtype=np.uint8)
            colors[: len(self)] = [color_of(raw) for raw in self.raw_values]
            return np.asarray(colors[classes])
        dtype = np.uint8 if max(*self.raw_values, void) < 256 else np.uint16
        table = np.full(self.ignore_index + 1, void, dtype=dtype)
        table[: len(self)] = self.raw_values
        return look_up(table, classes)

    def palette(self) -> NDArray[np.uint8]:
        """The color of each class index, uint8 [``ignore_index`` + 1, 3]; indices without a class are black."""
        table = np.zeros((self.ignore_index + 1, 3), dtype=np.uint8)
        table[: len(self)] = self.colors
        return table

    def thing_table(self) -> NDArray[np.bool_]:
        """Whether each class index is a thing, bool [``ignore_index`` + 1]; indices without a class are not."""
        return self._thing_table

    def coco_ids(self) -> tuple[int, ...]:
        """The id of each class in files in COCO format: ``category_ids``, or else the raw values."""
        return self.category_ids or self.raw_values

    def ignored_labels(self) -> tuple[str, ...]:
        """A name for each of ``ignored``: ``ignored_names``, or else the raw values as text."""
        return self.ignored_names or tuple(map(str, self.ignored))

    def thing_indices(self) -> tuple[int, ...]:
        """The class indices of things."""
        return tuple(np.flatnonzero(self._thing_table).tolist())

    @cached_property
    def _thing_table(self) -> NDArray[np.bool_]:
        size = max(self.ignore_index + 1, len(self))  # the classes of a COCO file have no limit
        table, things = np.zeros(size, dtype=bool), frozenset(self.things)
        table[: len(self)] = [name in things for name in self.names]
        return table

    def remap(
        self,
        *,
        merge: Mapping[str, Sequence[str]] | None = None,
        drop: Iterable[str] = (),
        rename: Mapping[str, str] | None = None,
    ) -> LabelSpace:
        """The label space after renaming, then merging (new name -> old names), then dropping (ignoring) classes.

        A merged class takes the position and the raw value of the first of its members. ``ValueError`` for an unknown
        class, or one that is merged twice.
        """
        new_name = rename or {}
        self._require(new_name)
        space = replace(
            self,
            names=tuple(new_name.get(name, name) for name in self.names),
            things=tuple(new_name.get(name, name) for name in self.things),
            categories=_renamed(self.categories, new_name),
            instance_sizes=tuple((new_name.get(name, name), size) for name, size in self.instance_sizes),
        )
        merged_into = {name: name for name in space.names}
        drop = tuple(drop)
        space._require(drop)
        taken = dict.fromkeys(drop, "dropped")
        for new, members in (merge or {}).items():
            space._require(members)
            for name in members:
                if name in taken:
                    raise ValueError(
                        f"class {name!r} is merged into {new!r} and {taken[name]}; expected only one of them"
                    )
                taken[name] = f"merged into {new!r}"
            merged_into |= dict.fromkeys(members, new)
        return space._regroup(merged_into, set(drop))

    def _regroup(self, merged_into: Mapping[str, str], drop: set[str]) -> LabelSpace:
        """One class per value of ``merged_into``, in the order of their first members, without dropped classes."""
        kept = [name for name in self.names if name not in drop]
        names = list(dict.fromkeys(merged_into[name] for name in kept))
        first = {merged_into[name]: self.names.index(name) for name in reversed(kept)}
        raw = [(value, self.names[i]) for i, value in enumerate(self.raw_values)]
        raw += [(value, self.names[i]) for value, i in self.also]
        is_thing = {(merged_into[name], name in self.things) for name in kept}
        mixed = [name for name in names if (name, True) in is_thing and (name, False) in is_thing]
        if mixed:
            raise ValueError(f"{mixed[0]!r} would merge things with stuff; expected only one of them")
        values = tuple(self.raw_values[first[name]] for name in names)
        dropped = [(value, name) for value, name in raw if name in drop]
        dropped_names = tuple(name for _, name in dropped)
        named = bool(self.categories or self.ignored_names)
        return replace(
            self,
            names=tuple(names),
            colors=tuple(self.colors[first[name]] for name in names),
            raw_values=values,
            category_ids=tuple(self.category_ids[first[name]] for name in names) if self.category_ids else (),
            ignored=(*self.ignored, *(value for value, _ in dropped)),
            ignored_names=(*self.ignored_labels(), *dropped_names) if named else (),
            categories=_renamed(self.categories, merged_into),
            instance_sizes=tuple(
                (name, size) for name, size in self.instance_sizes if merged_into[name] == name in kept
            ),
            things=tuple(name for name in names if (name, True) in is_thing),
            also=tuple(
                (value, names.index(merged_into[name]))
                for value, name in raw
                if name not in drop and value not in values
            ),
        )

    def _require(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.names:
                close = difflib.get_close_matches(name, self.names, 1, cutoff=0.4)
                hint = (
                    f"did you mean {close[0]!r}?"
                    if close
                    else f"expected one of {', '.join(self.names[:12])}"
                )
                raise ValueError(f"label space {self.name!r} has no class {name!r}; {hint}")

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values, for files that store the label space."""
        values = asdict(self)
        # Older versions do not know these fields; most label spaces do not need them.
        for name in ("category_ids", "categories", "ignored_names", "instance_sizes"):
            if not values[name]:
                del values[name]
        if self.average_precision == "coco":
            del values["average_precision"]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> LabelSpace:
        """The label space of values that ``to_json`` gave."""
        return cls(**{key: _tuples(value) for key, value in values.items()})


def spread_colors(count: int) -> tuple[tuple[int, int, int], ...]:
    """``count`` distinct colors, for classes without a color: the color map of Pascal VOC, without its black."""

    def color(index: int) -> tuple[int, int, int]:
        channels = [0, 0, 0]
        for bit in range(8):
            for c in range(3):
                channels[c] |= ((index >> (3 * bit + c)) & 1) << (7 - bit)
        return channels[0], channels[1], channels[2]

    return tuple(color(index + 1) for index in range(count))


def _renamed(
    categories: tuple[tuple[str, tuple[str, ...]], ...], new_name: Mapping[str, str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The categories with new names of labels; a new name that several labels get stays in the first category."""
    seen: set[str] = set()
    renamed = []
    for category, names in categories:
        members = dict.fromkeys(new_name.get(name, name) for name in names)
        renamed.append((category, tuple(name for name in members if name not in seen)))
        seen.update(members)
    return tuple(renamed)


def color_of(raw: int) -> tuple[int, int, int]:
    """(red, green, blue) of a raw value of color-coded maps."""
    return raw >> 16 & 255, raw >> 8 & 255, raw & 255


def _tuples(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_tuples(item) for item in value)
    return value
