"""V7 Darwin JSON (versions 2 and 1): a file per image with polygons, and masks in one layer of runs."""

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
    starts_with,
)
from segwright.data.exports.splits import split_of_path
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "darwin", "V7 Darwin", True
_TOOL = "V7 Darwin"


def recognize(root: Path) -> str | None:
    """JSON files with an item, its slots, and annotations."""
    files = _files(root)
    return (
        None
        if not files
        else f"{len(files)} JSON files of one item each, such as {files[0].relative_to(root)}"
    )


def _files(root: Path) -> list[Path]:
    return [path for path in glob_visible(root, "**/*.json") if _is_darwin(path)]


def _is_darwin(path: Path) -> bool:
    return starts_with(path, '"annotations"') and (
        starts_with(path, '"item"', '"slots"') or starts_with(path, '"image"', '"original_filename"')
    )


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of all JSON files; the classes are sorted by name, as V7 lists them."""
    files = _files(root)
    if not files:
        raise UserError(f"{root}: no Darwin JSON; expected one per image; check the folder")
    images, left_out = ImageFiles(root), Counter[str]()
    parsed = [(path, *_read(path, images, left_out)) for path in files]
    kept, id_of = category_ids(sorted({row["label"] for *_, rows in parsed for row in rows}))
    entries = []
    for path, image, folder, size, rows in parsed:
        for row in rows:
            row["category_id"] = id_of[row.pop("label")]
        part = split_of_path(image, root) or split_of_path(root / folder / "x", root)
        entries.append(Entry(image, part, size, tuple(rows), source=path))
    notes = ignored_note(files[0], left_out) + outside_notes(entries, "nested")
    return ObjectExport(entries, kept, declared=splits_of(entries), notes=notes)


def _read(
    path: Path, images: ImageFiles, left_out: Counter[str]
) -> tuple[Path, str, tuple[int, int], list[dict[str, Any]]]:
    """(image, its folder in V7, (height, width), objects) of a file."""
    values = read_json(path, _TOOL)
    name, folder, size = parse(values, _item, str(path), _TOOL)
    image = images.find(f"{folder}/{name}".lstrip("/")) or images.require(name, str(path))
    rows, masks, layers = list[dict[str, Any]](), dict[str, str](), list[dict[str, Any]]()
    for index, item in enumerate(parse(values, lambda v: list(v["annotations"]), str(path), _TOOL)):
        where = f"{path}: annotation {index}"
        label, kind, shape = parse(item, _shape, where, _TOOL)
        if kind == "frames":
            raise UserError(f"{where} belongs to a video; expected images; export the frames as images")
        if kind == "raster_layer":
            layers.append(item[kind])
        elif kind == "mask":
            masks[str(item.get("id"))] = label
        elif shape is None:
            left_out[kind] += 1
        else:
            rows.append({"label": label, "where": f"annotation {index} ({label})", "segmentation": shape})
    for layer in layers:
        rows += parse(layer, lambda value: _masks(value, masks, size), f"{path}: its raster_layer", _TOOL)
    return image, folder, size, [{"id": number, **row} for number, row in enumerate(rows, start=1)]


def _item(values: dict[str, Any]) -> tuple[str, str, tuple[int, int]]:
    """(file name, folder, (height, width)) of an item with one slot, or of an image of version 1."""
    if "item" not in values:
        image = values["image"]
        return (
            str(image.get("original_filename") or image["filename"]),
            str(image.get("path") or ""),
            (int(image["height"]), int(image["width"])),
        )
    item = values["item"]
    if len(item["slots"]) != 1:
        raise ValueError(f"{len(item['slots'])} slots; one image per item can be read")
    slot = item["slots"][0]
    return str(item["name"]), str(item.get("path") or ""), (int(slot["height"]), int(slot["width"]))


def _shape(item: dict[str, Any]) -> tuple[str, str, dict[str, Any] | None]:
    """(class, kind, outline) of an annotation; no outline for a mask, or a kind without area."""
    label = str(item["name"])
    for kind in ("frames", "raster_layer", "mask"):
        if kind in item:
            return label, kind, None
    paths: list[Any]
    if "complex_polygon" in item:
        paths = item["complex_polygon"]["path"]
    elif "polygon" in item:
        polygon = item["polygon"]
        paths = polygon["paths"] if "paths" in polygon else [polygon["path"]]
    else:
        kinds = ("bounding_box", "ellipse", "line", "keypoint", "skeleton", "tag", "cuboid", "text")
        return label, next((kind for kind in kinds if kind in item), "annotation"), None
    outlines = [flat((point["x"], point["y"]) for point in path) for path in paths]
    if not outlines or len(outlines[0]) < 6:
        raise ValueError("a polygon of fewer than 3 points")
    return label, "polygon", {"nested": outlines}


def _masks(layer: dict[str, Any], masks: dict[str, str], size: tuple[int, int]) -> list[dict[str, Any]]:
    """The masks of a layer: pairs of value and length along the rows; each value belongs to one annotation."""
    runs = [int(value) for value in layer["dense_rle"]]
    lengths = runs[1::2]
    if len(runs) % 2 or sum(lengths) != size[0] * size[1] or min(lengths) < 0:
        raise ValueError(f"{sum(lengths)} pixels; its image has {size[1]}x{size[0]}")
    rows = []
    for identity, value in layer["mask_annotation_ids_mapping"].items():
        if identity not in masks:
            raise ValueError(f"the mask {identity!r} is no annotation of the file")
        label = masks[identity]
        own = [0]
        for number, length in zip(runs[::2], lengths, strict=True):
            if (number == int(value)) == (len(own) % 2 == 0):
                own[-1] += length
            else:
                own.append(length)
        shape = {"runs": own, "box": [0, 0, size[1], size[0]]}
        rows.append({"label": label, "where": f"mask {identity} ({label})", "segmentation": shape})
    return rows
