"""SuperAnnotate: a JSON file per image with polygons, and classes/classes.json."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from segwright.data.exports.entries import Entry, ObjectExport, category_ids, outside_notes, splits_of
from segwright.data.exports.files_of_export import (
    ImageFiles,
    color_from_hex,
    glob_visible,
    ignored_note,
    parse,
    read_json,
    starts_with,
)
from segwright.data.exports.object_shapes import ellipse
from segwright.data.exports.splits import split_of_path
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "superannotate", "SuperAnnotate", True


def recognize(root: Path) -> str | None:
    """JSON files with instances of classes."""
    files = _files(root)
    return (
        None if not files else f"{len(files)} JSON files with instances, such as {files[0].relative_to(root)}"
    )


def _files(root: Path) -> list[Path]:
    paths = glob_visible(root, "**/*.json")
    return [path for path in paths if starts_with(path, '"metadata"', '"instances"')]


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of all JSON files. The classes are those of classes.json, else all names, sorted."""
    files = _files(root)
    if not files:
        raise UserError(f"{root}: no JSON of SuperAnnotate; expected one per image; check the folder")
    images, left_out = ImageFiles(root), Counter[str]()
    parsed = [(path, *_read(path, images, left_out)) for path in files]
    classes = _classes(root) or dict.fromkeys(sorted({row["label"] for *_, rows in parsed for row in rows}))
    kept, id_of = category_ids(list(classes))
    entries = []
    for path, image, size, rows in parsed:
        for row in rows:
            label = row.pop("label")
            if label not in id_of:
                raise UserError(
                    f"{path}: {row['where']} has the class {label!r}, which classes.json does not list; add it there"
                )
            row["category_id"] = id_of[label]
        entries.append(Entry(image, split_of_path(image, root), size, tuple(rows), source=path))
    notes = ignored_note(files[0], left_out) + outside_notes(entries)
    colors = {name: color for name, text in classes.items() if (color := color_from_hex(text))}
    return ObjectExport(entries, kept, colors, declared=splits_of(entries), notes=notes)


def _classes(root: Path) -> dict[str, Any]:
    """Name -> color of the classes in classes.json; empty without the file."""
    path = next(
        iter(glob_visible(root, "classes/classes.json", "classes.json", "*/classes/classes.json")), None
    )
    if path is None:
        return {}
    rows = read_json(path, TITLE)
    return dict(parse(rows, lambda v: [(str(row["name"]), row.get("color")) for row in v], str(path), TITLE))


def _read(
    path: Path, images: ImageFiles, left_out: Counter[str]
) -> tuple[Path, tuple[int, int] | None, list[dict[str, Any]]]:
    values = read_json(path, TITLE)
    name, size, items = parse(values, _image, str(path), TITLE)
    image = images.require(name, str(path), path.parent)
    rows = []
    for index, item in enumerate(items):
        where = f"instance {index}"
        label, kind, shape = parse(item, _shape, f"{path}: {where}", TITLE)
        if kind == "mask":
            raise UserError(
                f"{path}: {where} is a mask of a pixel project; expected polygons; export the project to COCO"
            )
        if shape is None:
            left_out[kind] += 1
            continue
        rows.append({"id": index + 1, "label": label, "where": f"{where} ({label})", "segmentation": shape})
    return image, size, rows


def _image(values: dict[str, Any]) -> tuple[str, tuple[int, int] | None, list[Any]]:
    data = values["metadata"]
    size = (int(data["height"]), int(data["width"])) if data.get("height") and data.get("width") else None
    return str(data["name"]), size, list(values["instances"])


def _shape(item: dict[str, Any]) -> tuple[str, str, dict[str, Any] | None]:
    label, kind = str(item.get("className") or ""), str(item["type"])
    if kind not in ("polygon", "ellipse"):
        return label, kind, None
    if not label:
        raise KeyError("className")
    if kind == "ellipse":
        center, radii = (float(item["cx"]), float(item["cy"])), (float(item["rx"]), float(item["ry"]))
        return label, kind, {"polygons": [ellipse(center, radii, float(item.get("angle") or 0))]}
    points = [float(value) for value in item["points"]]
    if len(points) < 6 or len(points) % 2:
        raise ValueError(f"a polygon of {len(points) / 2:g} points")
    holes = [[float(value) for value in hole] for hole in item.get("exclude") or []]
    return label, kind, {"polygons": [points], "holes": holes}
