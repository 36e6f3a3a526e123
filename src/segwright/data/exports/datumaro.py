"""Datumaro's own format: a JSON file per subset in annotations/, and images/SUBSET/."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from segwright.data.exports.entries import Entry, ObjectExport, category_ids, join_groups, splits_of
from segwright.data.exports.files_of_export import (
    ImageFiles,
    glob_visible,
    ignored_note,
    parse,
    read_json,
    starts_with,
)
from segwright.data.exports.splits import standard_split
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "datumaro", "Datumaro", True


def recognize(root: Path) -> str | None:
    """JSON files with items and categories."""
    files = _files(root)
    return None if not files else f"{files[0].relative_to(root)} lists items and their annotations"


def _files(root: Path) -> list[Path]:
    paths = glob_visible(root, "annotations/*.json", "*.json")
    return [path for path in paths if starts_with(path, '"categories"', '"items"', '"label"')]


def read(root: Path, split: str | None) -> ObjectExport:
    """The polygons and masks of all subsets; a higher ``z_order`` is visible. Polygons of one group are one object."""
    files = _files(root)
    if not files:
        raise UserError(
            f"{root}: no JSON file of Datumaro; expected annotations/default.json; check the folder"
        )
    images, left_out = ImageFiles(root), Counter[str]()
    names: list[str] = []
    entries = []
    for path in files:
        values = read_json(path, "Datumaro")
        named = parse(values, _names, f"{path}: categories", "Datumaro")
        if names and named != names:
            raise UserError(
                f"{path}: other classes than {files[0].name}; expected the same in every subset; export them together"
            )
        names = named
        for index, item in enumerate(values["items"]):
            read_item = partial(_entry, path=path, images=images, names=names, left_out=left_out)
            entries.append(parse(item, read_item, f"{path}: item {index}", "Datumaro"))
    kept, _ = category_ids(names)
    return ObjectExport(entries, kept, declared=splits_of(entries), notes=ignored_note(files[0], left_out))


def _names(values: Any) -> list[str]:
    return [str(label["name"]) for label in values["categories"]["label"]["labels"]]


def _entry(item: Any, *, path: Path, images: ImageFiles, names: list[str], left_out: Counter[str]) -> Entry:
    name = str(item["id"])
    stated = item.get("image") or (item.get("media") or {})
    subset = images.root / "images" / path.stem
    image = images.require(str(stated.get("path") or f"{name}.jpg"), f"{path}: {name}", subset)
    _, id_of = category_ids(names)
    rows: list[dict[str, Any]] = []
    for number, annotation in enumerate(item["annotations"]):
        kind = str(annotation["type"])
        if kind not in ("polygon", "mask"):
            left_out[kind] += 1
            continue
        label = annotation.get("label_id")
        if not isinstance(label, int) or not 0 <= label < len(names):
            raise UserError(
                f"{path}: {name}, annotation {number} has the class {label}; expected a number below {len(names)}; "
                "correct it, or add the class"
            )
        outline = {"polygons": [annotation["points"]]} if kind == "polygon" else annotation["rle"]
        rows.append({"id": number + 1, "where": f"{name}, annotation {number}", "z": annotation.get("z_order") or 0,
                     "category_id": id_of[names[label]], "segmentation": outline,
                     "group": annotation.get("group") or None})  # fmt: skip
    size = stated.get("size")
    return Entry(image, standard_split(path.stem), None if not size else (int(size[0]), int(size[1])),
                 tuple(join_groups(rows)), source=path)  # fmt: skip
