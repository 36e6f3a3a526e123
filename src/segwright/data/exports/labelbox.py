"""Labelbox export (version 2): NDJSON or JSON with a row per image; its polygons, and masks that were downloaded.

Masks are addresses of Labelbox's server, so they are read only if they lie in the folder as FEATURE_ID.png.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from segwright.data.exports.entries import Entry, ObjectExport, category_ids, outside_notes, splits_of
from segwright.data.exports.files_of_export import (
    ImageFiles,
    flat,
    glob_visible,
    ignored_note,
    parse,
    read_json,
    read_json_lines,
    starts_with,
)
from segwright.data.exports.splits import split_of_path
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "labelbox", "Labelbox", True
_TOOL = "Labelbox"


def recognize(root: Path) -> str | None:
    """NDJSON or JSON with rows of data and projects."""
    files = _files(root)
    return None if not files else f"{files[0].relative_to(root)} has rows of data with the labels of projects"


def _files(root: Path) -> list[Path]:
    paths = glob_visible(root, "*.ndjson", "*.json", "*.jsonl", "*/*.ndjson")
    return [path for path in paths if starts_with(path, '"data_row"', '"projects"')]


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of all rows; the classes are in the order of their first use. Rows without a label are left out."""
    files = _files(root)
    if not files:
        raise UserError(f"{root}: no export of Labelbox; expected NDJSON; check the folder")
    images, left_out = ImageFiles(root), Counter[str]()
    parsed = []
    for path in files:
        rows = read_json(path, _TOOL) if path.suffix == ".json" else read_json_lines(path, _TOOL)
        for number, row in enumerate(rows if isinstance(rows, list) else [rows], start=1):
            where = f"{path}: row {number}"
            names, size, items = parse(row, _row, where, _TOOL)
            if items is None:
                continue
            image = next((p for name in names if (p := images.find(name))), None)
            image = image or images.require(names[0], where)
            objects = [
                value
                for index, item in enumerate(items)
                if (value := _object(item, f"row {number}, object {index}", path, images, left_out))
            ]
            parsed.append((path, image, size, objects))
    kept, id_of = category_ids(list(dict.fromkeys(row["label"] for *_, rows in parsed for row in rows)))
    entries = []
    for path, image, size, objects in parsed:
        rows = [
            {"id": i, "category_id": id_of[row.pop("label")], **row} for i, row in enumerate(objects, start=1)
        ]
        entries.append(Entry(image, split_of_path(image, root), size, tuple(rows), source=path))
    notes = ignored_note(files[0], left_out) + outside_notes(entries)
    return ObjectExport(entries, kept, declared=splits_of(entries), notes=notes)


def _row(row: dict[str, Any]) -> tuple[list[str], tuple[int, int] | None, list[Any] | None]:
    """(names that the image may have, (height, width), the objects of the first label) of a row."""
    data = row["data_row"]
    names = [str(data[key]) for key in ("external_id", "global_key", "row_data") if data.get(key)]
    if not names:
        raise KeyError("external_id")
    media = row.get("media_attributes") or {}
    size = (int(media["height"]), int(media["width"])) if media.get("height") and media.get("width") else None
    labels = [label for project in row["projects"].values() for label in project.get("labels") or []]
    return names, size, list(labels[0]["annotations"]["objects"]) if labels else None


def _object(
    item: Any, where: str, path: Path, images: ImageFiles, left_out: Counter[str]
) -> dict[str, Any] | None:
    label, kind, outline = parse(item, _outline, f"{path}: {where}", _TOOL)
    if kind in ("mask", "composite_mask"):
        name = f"{item.get('feature_id')}.png"
        file = images.find(name)
        if file is None:
            raise UserError(
                f"{path}: {where} ({label}) is a mask on the server of Labelbox; expected it as {name} in the folder; "
                "download the masks by their addresses, or export to COCO with the labelbox package"
            )
        outline = {"files": [str(file)]}
    if outline is None:
        left_out[kind] += 1
        return None
    return {"label": label, "where": f"{where} ({label})", "segmentation": outline}


def _outline(item: dict[str, Any]) -> tuple[str, str, dict[str, Any] | None]:
    label = str(item["name"])
    kinds = ("polygon", "mask", "composite_mask", "bounding_box", "line", "point")
    kind = next((kind for kind in kinds if kind in item), str(item.get("annotation_kind", "annotation")))
    if kind != "polygon":
        return label, kind, None
    points = flat((point["x"], point["y"]) for point in item["polygon"])
    if len(points) < 6:
        raise ValueError(f"a polygon of {len(points) // 2} points")
    return label, kind, {"polygons": [points]}
