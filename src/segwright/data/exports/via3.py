"""Projects of VGG Image Annotator 3, read as the regions of version 2."""

from __future__ import annotations

from collections.abc import Iterator
from math import hypot
from typing import Any

_SHAPES = {
    1: "point", 2: "rect", 3: "circle", 4: "ellipse", 5: "line", 6: "polyline", 7: "polygon",
    8: "extreme rectangle", 9: "extreme circle",
}  # fmt: skip
_FIELDS = {
    "rect": ("x", "y", "width", "height"),
    "circle": ("cx", "cy", "r"),
    "ellipse": ("cx", "cy", "rx", "ry"),
}


def is_version3(values: Any) -> bool:
    """Whether a JSON value is a project of version 3."""
    return isinstance(values, dict) and {"file", "view", "metadata", "attribute"} <= set(values)


def declared_classes(values: Any) -> tuple[str | None, list[str]]:
    """(the attribute that holds the class, its options): the first attribute with options, else the first.

    Attributes of whole files do not count: their anchor is FILE1_Z0_XY0, that of regions FILE1_Z0_XY1.
    """
    attributes = list(values["attribute"].values())
    attributes = [row for row in attributes if str(row.get("anchor_id")).endswith("XY1")] or attributes
    for attribute in attributes:
        if attribute.get("options"):
            return str(attribute["aname"]), [str(option) for option in attribute["options"].values()]
    return (str(attributes[0]["aname"]), []) if attributes else (None, [])


def images(values: Any) -> Iterator[tuple[str, list[Any]]]:
    """(file name, regions as version 2 writes them) of each image."""
    regions: dict[str, list[Any]] = {view: [] for view in values["view"]}
    for row in values["metadata"].values():
        if row.get("xy"):  # without: an attribute of the whole image
            attributes = _attributes(row.get("av") or {}, values["attribute"])
            region = {"shape_attributes": _shape(row["xy"]), "region_attributes": attributes}
            regions.setdefault(str(row["vid"]), []).append(region)
    for view, listed in regions.items():
        file = values["file"][str(values["view"][view]["fid_list"][0])]
        yield str(file["fname"]), listed


def _shape(xy: list[Any]) -> dict[str, Any]:
    kind, rest = _SHAPES[int(xy[0])], [float(value) for value in xy[1:]]
    xs, ys = rest[::2], rest[1::2]
    if kind == "polygon":
        return {"name": kind, "all_points_x": xs, "all_points_y": ys}
    if kind == "extreme rectangle":  # points on its sides
        left, top = min(xs), min(ys)
        kind, rest = "rect", [left, top, max(xs) - left, max(ys) - top]
    elif kind == "extreme circle":
        kind, rest = "circle", _circle(xs, ys)
    return {"name": kind, **dict(zip(_FIELDS.get(kind, ()), rest, strict=False))}


def _circle(xs: list[float], ys: list[float]) -> list[float]:
    """[x, y, radius] of the circle through three points."""
    (x0, x1, x2), (y0, y1, y2) = xs, ys
    area = 2 * ((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0))
    if area == 0:
        raise ValueError("a circle through three points on a line")
    first, second = (x1 - x0) ** 2 + (y1 - y0) ** 2, (x2 - x0) ** 2 + (y2 - y0) ** 2
    x = (first * (y2 - y0) - second * (y1 - y0)) / area
    y = (second * (x1 - x0) - first * (x2 - x0)) / area
    return [x0 + x, y0 + y, hypot(x, y)]


def _attributes(chosen: Any, attributes: Any) -> dict[str, str]:
    """Name of an attribute -> its value; a choice is stored as the number of an option."""
    named = {}
    for key, value in chosen.items():
        attribute = attributes[key]
        options = attribute.get("options") or {}
        first = next((part for part in str(value).split(",") if part), "")  # a checkbox has several
        named[str(attribute["aname"])] = str(options.get(first, value if not options else ""))
    return named
