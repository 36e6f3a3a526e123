"""Projects of VGG Image Annotator 3, read as the regions of version 2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_SHAPES = {1: "point", 2: "rect", 3: "circle", 4: "ellipse", 5: "line", 6: "polyline", 7: "polygon"}
_FIELDS = {
    "rect": ("x", "y", "width", "height"),
    "circle": ("cx", "cy", "r"),
    "ellipse": ("cx", "cy", "rx", "ry"),
}


def is_version3(values: Any) -> bool:
    """Whether a JSON value is a project of version 3."""
    return isinstance(values, dict) and {"file", "view", "metadata", "attribute"} <= set(values)


def declared_classes(values: Any) -> tuple[str | None, list[str]]:
    """(the attribute that holds the class, its options): the first attribute with options, else the first."""
    attributes = list(values["attribute"].values())
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
    if kind == "polygon":
        return {"name": kind, "all_points_x": rest[::2], "all_points_y": rest[1::2]}
    return {"name": kind, **dict(zip(_FIELDS.get(kind, ()), rest, strict=False))}


def _attributes(chosen: Any, attributes: Any) -> dict[str, str]:
    """Name of an attribute -> its value; a choice is stored as the number of an option."""
    named = {}
    for key, value in chosen.items():
        attribute = attributes[key]
        options = attribute.get("options") or {}
        first = next((part for part in str(value).split(",") if part), "")  # a checkbox has several
        named[str(attribute["aname"])] = str(options.get(first, value if not options else ""))
    return named
