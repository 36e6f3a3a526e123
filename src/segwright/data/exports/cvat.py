"""CVAT for images: XML with polygons, run-length masks and ellipses; boxes, polylines and points have no outline."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from segwright.data.exports.entries import Entry, ObjectExport, category_ids, outside_notes, splits_of
from segwright.data.exports.files_of_export import (
    ImageFiles,
    color_from_hex,
    flat,
    glob_visible,
    ignored_note,
    parse,
    starts_with,
)
from segwright.data.exports.object_shapes import ellipse
from segwright.data.exports.splits import split_of_path, standard_split
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "cvat", "CVAT for images", True
_WITHOUT_AREA = ("box", "polyline", "points", "cuboid", "skeleton", "tag")


def recognize(root: Path) -> str | None:
    """XML files with ``<annotations>`` and a ``<version>``."""
    files = _files(root)
    return None if not files else f"{files[0].relative_to(root)} has the annotations of CVAT"


def _files(root: Path) -> list[Path]:
    paths = glob_visible(root, "**/*.xml")
    return [
        path for path in paths if starts_with(path, "<annotations") and not starts_with(path, "<annotation>")
    ]


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of all XML files (one per task)."""
    files = _files(root)
    if not files:
        raise UserError(f"{root}: no XML file of CVAT; expected annotations.xml; check the folder")
    trees = [(path, _parse(path)) for path in files]
    names: dict[str, Any] = {}
    for path, tree in trees:
        if tree.find(".//track") is not None:
            raise UserError(
                f"{path}: has tracks (CVAT for video); expected images; export the task as 'CVAT for images 1.1'"
            )
        for label in tree.findall("./meta//labels/label"):
            if label.findtext("parent") in (None, ""):
                names.setdefault(str(label.findtext("name")), color_from_hex(label.findtext("color")))
    if not names:  # without a list of labels
        names = dict.fromkeys(
            sorted({str(shape.get("label")) for _, tree in trees for shape in tree.findall("./image/*")})
        )
    kept, id_of = category_ids(list(names))
    images, left_out = ImageFiles(root), Counter[str]()
    entries = [
        _entry(image, path, images, id_of, left_out)
        for path, tree in trees
        for image in tree.findall("image")
    ]
    if not entries:
        raise UserError(f"{files[0]}: has no <image>; expected the images of the task; export it again")
    colors = {name: color for name, color in names.items() if color}
    notes = ignored_note(files[0], left_out) + outside_notes(entries)
    return ObjectExport(entries, kept, colors, declared=splits_of(entries), notes=notes)


def _parse(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise UserError(
            f"{path}: not XML ({error}); expected a complete file; export it again from CVAT"
        ) from None


def _entry(
    image: ElementTree.Element,
    path: Path,
    images: ImageFiles,
    id_of: dict[str, int],
    left_out: Counter[str],
) -> Entry:
    name = str(image.get("name"))
    subset = image.get("subset")
    near = next(
        (p for p in (path.parent / "images" / (subset or ""), path.parent / "images") if p.is_dir()),
        path.parent,
    )
    file = images.require(name, f"{path}: image {image.get('id')}", near)
    size = parse(image, lambda e: (int(e.get("height")), int(e.get("width"))), f"{path}: image {name}", "CVAT") if (
        image.get("height") and image.get("width")
    ) else None  # fmt: skip
    rows = []
    for number, shape in enumerate(image):
        label, where = str(shape.get("label")), f"image {name!r}, {shape.tag} {number}"
        if shape.tag in _WITHOUT_AREA:
            left_out[shape.tag] += 1
            continue
        if label not in id_of:
            raise UserError(
                f"{path}: {where} has the label {label!r}, which <labels> does not list; add it, or correct the label"
            )
        outline = parse(shape, _outline, f"{path}: {where}", "CVAT")
        order = parse(shape, lambda element: int(element.get("z_order") or 0), f"{path}: {where}", "CVAT")
        rows.append({"id": number + 1, "category_id": id_of[label], "where": where, "segmentation": outline,
                     "z": order})  # fmt: skip
    return Entry(
        file, standard_split(subset) or split_of_path(file, images.root), size, tuple(rows), source=path
    )


def _outline(shape: ElementTree.Element) -> dict[str, Any]:
    def number(name: str) -> float:
        return float(shape.attrib[name])

    if shape.tag == "mask":
        runs = [int(value) for value in shape.attrib["rle"].split(",")]
        return {"runs": runs, "box": [int(number(side)) for side in ("left", "top", "width", "height")]}
    if shape.tag == "ellipse":
        center, radii = (number("cx"), number("cy")), (number("rx"), number("ry"))
        return {"polygons": [ellipse(center, radii, float(shape.get("rotation") or 0))]}
    if shape.tag != "polygon":
        raise ValueError(f"unknown shape <{shape.tag}>")
    points = [tuple(map(float, point.split(","))) for point in shape.attrib["points"].split(";")]
    if len(points) < 3:
        raise ValueError(f"a polygon of {len(points)} points")
    return {"polygons": [flat(points)]}
