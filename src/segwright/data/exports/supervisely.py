"""Supervisely: meta.json and a JSON file per image with bitmaps, polygons with holes, and rectangles."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from segwright.data.exports.entries import Entry, ObjectExport, category_ids, outside_notes, splits_of
from segwright.data.exports.files_of_export import (
    ImageFiles,
    color_from_hex,
    flat,
    glob_visible,
    ignored_note,
    parse,
    read_json,
)
from segwright.data.exports.object_shapes import box
from segwright.data.exports.splits import split_of_path, standard_split
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "supervisely", "Supervisely", True


def recognize(root: Path) -> str | None:
    """meta.json, and folders ann of JSON files."""
    if not (meta := _meta(root)) or not glob_visible(root, "**/ann/*.json"):
        return None
    return f"{meta.relative_to(root)} beside folders ann of JSON files"


def _meta(root: Path) -> Path | None:
    return next(iter(glob_visible(root, "meta.json", "*/meta.json")), None)


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of all datasets of the project; a dataset called train or val is a split."""
    meta = _meta(root)
    if meta is None:
        raise UserError(f"{root}: no meta.json; expected a project of Supervisely; check the folder")
    values = read_json(meta, "Supervisely")
    classes = parse(
        values,
        lambda v: [(str(c["title"]), c.get("color")) for c in v["classes"]],
        str(meta),
        "Supervisely",
    )
    kept, id_of = category_ids([name for name, _ in classes])
    colors = {name: color for name, text in classes if (color := color_from_hex(text))}
    images, left_out = ImageFiles(root), Counter[str]()
    entries = [
        _entry(path, images, id_of, left_out)
        for path in glob_visible(root, "**/ann/*.json", "**/ann/**/*.json")
    ]
    notes = ignored_note(meta, left_out) + outside_notes(entries)
    return ObjectExport(entries, kept, colors, declared=splits_of(entries), notes=notes)


def _entry(path: Path, images: ImageFiles, id_of: dict[str, int], left_out: Counter[str]) -> Entry:
    values = read_json(path, "Supervisely")
    size = parse(
        values,
        lambda v: (int(v["size"]["height"]), int(v["size"]["width"])),
        f"{path}: the image",
        "Supervisely",
    )
    folder = path.parent.parent / "img"
    name = path.name.removesuffix(".json")
    image = images.find(name, folder) or images.with_stem(name, folder)
    image = image or images.require(name, str(path), folder)
    rows = []
    for index, item in enumerate(parse(values, lambda v: list(v["objects"]), str(path), "Supervisely")):
        where = f"object {index}"
        title, kind, outline = parse(item, _outline, f"{path}: {where}", "Supervisely")
        if outline is None:
            left_out[kind] += 1
            continue
        if title not in id_of:
            raise UserError(
                f"{path}: {where} has the class {title!r}, which meta.json does not list; add it there"
            )
        rows.append(
            {
                "id": index + 1,
                "category_id": id_of[title],
                "where": f"{where} ({title})",
                "segmentation": outline,
            }
        )
    tags = [str(tag.get("name")) for tag in values.get("tags") or [] if isinstance(tag, dict)]
    split = next((s for tag in tags if (s := standard_split(tag))), None)
    return Entry(image, split or split_of_path(path, images.root), size, tuple(rows), source=path)


def _outline(item: dict[str, Any]) -> tuple[str, str, dict[str, Any] | None]:
    title = str(item["classTitle"])
    kind = str(item.get("geometryType") or ("bitmap" if item.get("bitmap") else "polygon"))
    if kind == "bitmap":
        column, row = item["bitmap"]["origin"]
        return title, kind, {"png": str(item["bitmap"]["data"]), "corner": [row, column]}
    if kind not in ("polygon", "rectangle"):
        return title, kind, None
    points = item["points"]["exterior"]
    if kind == "rectangle":
        xs, ys = [float(x) for x, _ in points], [float(y) for _, y in points]
        return title, kind, {"polygons": [box(min(xs), min(ys), max(xs), max(ys))]}
    if len(points) < 3:
        raise ValueError(f"a polygon of {len(points)} points")
    holes = [flat(hole) for hole in item["points"].get("interior") or []]
    return title, kind, {"polygons": [flat(points)], "holes": holes}
