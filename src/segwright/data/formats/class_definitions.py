"""The label space that a class file defines: its classes with raw values, colors, things and categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segwright.labels import LabelSpace, color_of, ignore_index, spread_colors

_CLASS_FIELDS = ("raw", "color", "thing", "category", "instance_size")


def labels_from_mapping(values: Mapping[str, Any], *, name: str) -> LabelSpace:
    """The label space that a class file defines with ``classes``, ``ignored`` and ``name``.

    ``classes`` maps each name to its raw value, or to {raw, color, thing, category, instance_size}. Raw values are
    integers, or "#RRGGBB" for color-coded maps, or a list of several. Without a raw value, it is the index of the
    class. ``ignored`` lists raw values, or maps names to them. ``categories`` maps each category to the names of
    its labels, ignored ones included. ``ValueError`` or ``KeyError`` for anything else.
    """
    entries = [
        (str(key), entry if isinstance(entry, Mapping) else {"raw": entry})
        for key, entry in _pairs(values["classes"])
    ]
    for key, entry in entries:
        if unknown := sorted(set(entry) - set(_CLASS_FIELDS)):
            raise ValueError(
                f"class {key!r} has no field {unknown[0]!r}; expected {', '.join(_CLASS_FIELDS)}"
            )
    raws = [_raw_values(entry.get("raw"), index) for index, (_, entry) in enumerate(entries)]
    ignored = values.get("ignored", ignore_index(len(entries)))
    ignored_names: list[str] = []
    if isinstance(ignored, Mapping):
        ignored_names = [str(key) for key, value in ignored.items() for _ in _as_list(value)]
        ignored = [item for value in ignored.values() for item in _as_list(value)]
    explicit = [value for _, entry in entries for value in _as_list(entry.get("raw"))]
    is_rgb = any(isinstance(value, str) for value in explicit)
    if "ignored" not in values and (is_rgb or ignored in explicit):
        ignored = []  # the value is the class of a 0/255 mask, or one of the colors
    spread = spread_colors(len(entries))
    defaults = [color_of(raw[0]) if is_rgb else color for raw, color in zip(raws, spread, strict=True)]
    return LabelSpace(
        name=str(values.get("name", name)),
        names=tuple(key for key, _ in entries),
        colors=tuple(
            _parsed_color(entry.get("color"), default)
            for (_, entry), default in zip(entries, defaults, strict=True)
        ),
        raw_values=tuple(raw[0] for raw in raws),
        ignored=tuple(_raw_value(value) for value in _as_list(ignored)),
        things=tuple(key for key, entry in entries if entry.get("thing")),
        also=tuple((value, index) for index, raw in enumerate(raws) for value in raw[1:]),
        coding="rgb" if is_rgb else "index",
        categories=_categories(values.get("categories"), entries),
        ignored_names=tuple(ignored_names),
        instance_sizes=tuple(
            (key, float(entry["instance_size"])) for key, entry in entries if "instance_size" in entry
        ),
    )


def _categories(
    listed: Any, entries: Sequence[tuple[str, Mapping[str, Any]]]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The categories of a class file: those that it lists, and those that its classes name."""
    if not isinstance(listed, Mapping | None) or not all(
        isinstance(names, list) for names in (listed or {}).values()
    ):
        raise ValueError("'categories' is no mapping to lists; expected 'vehicle: [car, bus]'")
    members = {str(category): [str(name) for name in names] for category, names in (listed or {}).items()}
    for name, entry in entries:
        if "category" in entry:
            members.setdefault(str(entry["category"]), []).append(name)
    return tuple((category, tuple(names)) for category, names in members.items())


def _pairs(classes: Any) -> list[tuple[Any, Any]]:
    """(name, entry) of the classes of a class file, which are a mapping or a list of names."""
    if isinstance(classes, Mapping):
        return list(classes.items())
    if isinstance(classes, list) and all(type(name) in (str, int) for name in classes):
        return [(name, None) for name in classes]
    raise ValueError(
        "'classes' is neither a mapping nor a list of names; expected 'road: 7' or 'road: {raw: 7}'"
    )


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _raw_values(value: Any, default: int) -> list[int]:
    return [_raw_value(item) for item in _as_list(value)] or [default]


def _raw_value(value: Any) -> int:
    if isinstance(value, str) and len(value) == 7 and value.startswith("#"):
        return int(value[1:], 16)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError(f"{value!r} is not a raw value; expected an integer from 0, or '#RRGGBB'")


def _parsed_color(value: Any, default: tuple[int, int, int]) -> tuple[int, int, int]:
    if value is None:
        return default
    if isinstance(value, str):
        return color_of(_raw_value(value))
    if (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(v, int) and 0 <= v <= 255 for v in value)
    ):
        return value[0], value[1], value[2]
    raise ValueError(f"{value!r} is not a color; expected '#RRGGBB' or [red, green, blue]")
