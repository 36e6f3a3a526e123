"""Label Studio: JSON or JSON-MIN with polygons, rectangles and ellipses in percent, and brushes in run lengths."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from segwright.data.exports.entries import Entry, ObjectExport, category_ids, splits_of
from segwright.data.exports.files_of_export import (
    ImageFiles,
    glob_visible,
    ignored_note,
    parse,
    read_json,
    read_text,
    starts_with,
)
from segwright.data.exports.object_shapes import ellipse
from segwright.data.exports.splits import split_of_path
from segwright.errors import UserError

NAME, TITLE, SPECIFIC = "labelstudio", "Label Studio", True
_KINDS = ("polygonlabels", "brushlabels", "rectanglelabels", "ellipselabels", "labels")
_PREFIX = r"^[0-9a-f]{2,12}-"  # Label Studio puts it before the names of uploaded files


def recognize(root: Path) -> str | None:
    """JSON files with a list of tasks."""
    files = _files(root)
    return (
        None
        if not files
        else f"{files[0].relative_to(root)} is a list of tasks with results in percent or brushes"
    )


def _files(root: Path) -> list[Path]:
    words = ("original_width", "polygonlabels", "brushlabels", '"completions"', '"completed_by"')
    paths = glob_visible(root, "*.json", "*/*.json", "*/*/*.json")
    return [
        path
        for path in paths
        if (any(starts_with(path, word) for word in words) or starts_with(path, '"data"', '"result"'))
        and not starts_with(path, '"categories"')
    ]


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of all tasks, each with its last annotation that was not canceled.

    Exports of Label Studio hold ``annotations`` even where nothing was annotated; a file that has only ``predictions``
    (pre-annotations) is read by them.

    The classes are those of a config.xml or labels.txt in the folder, else in the order in which they first occur.
    """
    files = _files(root) or glob_visible(root, "*.json")
    if not files:
        raise UserError(f"{root}: no JSON file of Label Studio; expected an export; check the folder")
    images, left_out = ImageFiles(root), Counter[str]()
    entries, order = [], dict[str, None]()
    for path in files:
        tasks = read_json(path, "Label Studio")
        tasks = tasks if isinstance(tasks, list) else [tasks]
        for number, task in enumerate(tasks):
            where = f"{path}: task {task.get('id', number) if isinstance(task, dict) else number}"
            name, rows = parse(task, partial(_task, left_out=left_out), where, "Label Studio")
            image = images.require(name, where, path.parent, strip=_PREFIX)
            order |= dict.fromkeys(row["label"] for row in rows)
            entries.append((image, rows, path))
    declared_names = _declared(root)
    kept, id_of = category_ids(declared_names or list(order))
    result = []
    for image, rows, path in entries:
        for row in rows:
            label = row.pop("label")
            if label not in id_of:
                raise UserError(
                    f"{path}: {row['where']} has the label {label!r}, which the labeling config does not list; add it"
                )
            row["category_id"] = id_of[label]
        height, width = next((row["size"] for row in rows if row.get("size")), (0, 0))
        size = (height, width) if height and width else None
        objects = [{key: value for key, value in row.items() if key != "size"} for row in rows]
        result.append(Entry(image, split_of_path(image, root), size, tuple(objects), source=path))
    return ObjectExport(result, kept, declared=splits_of(result), notes=ignored_note(files[0], left_out))


def _declared(root: Path) -> list[str]:
    """The classes that a labeling config (config.xml) or a list names."""
    from xml.etree import ElementTree

    for path in glob_visible(root, "*.xml"):
        try:
            config = ElementTree.fromstring(read_text(path))
        except ElementTree.ParseError as error:
            raise UserError(
                f"{path}: not XML ({error}); expected the labeling config; copy it again"
            ) from None
        if names := [str(label.get("value")) for label in config.iter("Label")]:
            return names
    listed = next((p for name in ("labels.txt", "classes.txt") if (p := root / name).is_file()), None)
    return [] if listed is None else [line.strip() for line in read_text(listed).split("\n") if line.strip()]


def _task(task: dict[str, Any], left_out: Counter[str]) -> tuple[str, list[dict[str, Any]]]:
    data = task.get("data", task)
    names = [data.get(key) for key in ("image", "img", "ocr", "url")]
    names += [task.get("file_upload"), *(value for value in data.values() if "." in str(value))]
    name = next((name for name in names if name and isinstance(name, str)), None)
    if name is None:
        raise KeyError("image")
    annotations = task.get("annotations", task.get("completions", task.get("predictions")))
    if annotations is None:
        results = _short_results(task)
    else:
        valid = [a for a in annotations if not a.get("was_cancelled")]
        results = valid[-1].get("result", []) if valid else []
    rows = []
    for index, result in enumerate(results):
        label, row, kind = _result(result)
        if row is None or label is None:
            if kind != "other":
                left_out[kind] += 1
            continue
        named = f"task {task.get('id')}, result {result.get('id', index)}"
        rows.append({"id": index + 1, "label": label, "where": named, **row})
    return name, rows


def _short_results(task: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of a task of JSON-MIN: lists of values under the names of the controls."""
    lists = [value for value in task.values() if isinstance(value, list)]
    return [
        {"value": value, "type": next((k for k in _KINDS if k in value), ""), **value}
        for values in lists
        for value in values
        if isinstance(value, dict)
    ]


def _result(result: dict[str, Any]) -> tuple[str | None, dict[str, Any] | None, str]:
    value, kind = result.get("value", {}), str(result.get("type", "other"))
    labels = next((value[key] for key in _KINDS if value.get(key)), None)
    height, width = result.get("original_height"), result.get("original_width")
    size = [int(height), int(width)] if height and width else None
    outline = _outline(value, size)
    if outline is None or not labels:
        has_area = any(key in value for key in ("points", "rle", "radiusX", "width"))
        return None, None, kind if has_area else "other"
    return str(labels[0]), {"segmentation": outline, "size": size}, kind


def _outline(value: dict[str, Any], size: list[int] | None) -> dict[str, Any] | None:
    if "rle" in value:
        return {"brush": value["rle"]}
    if "points" in value:
        polygon = [float(number) / 100 for x, y in value["points"] for number in (x, y)]
        return {"fractions": [polygon]}
    if "radiusX" in value and size:  # in pixels while it is turned: width and height differ
        scale = (size[1] / 100, size[0] / 100)
        center = float(value["x"]) * scale[0], float(value["y"]) * scale[1]
        radii = float(value["radiusX"]) * scale[0], float(value["radiusY"]) * scale[1]
        return {"polygons": [ellipse(center, radii, float(value.get("rotation") or 0))]}
    if {"x", "y", "width", "height"} <= set(value) and ("rectanglelabels" in value):
        return _rectangle(value, size)
    return None


def _rectangle(value: dict[str, Any], size: list[int] | None) -> dict[str, Any]:
    from math import cos, pi, sin

    height, width = size or (100, 100)
    left, top = float(value["x"]) / 100 * width, float(value["y"]) / 100 * height
    across, down = float(value["width"]) / 100 * width, float(value["height"]) / 100 * height
    turn = float(value.get("rotation") or 0) * pi / 180
    corners = [(0.0, 0.0), (across, 0.0), (across, down), (0.0, down)]
    points = [(left + x * cos(turn) - y * sin(turn), top + x * sin(turn) + y * cos(turn)) for x, y in corners]
    return {"fractions": [[number for x, y in points for number in (x / width, y / height)]]}
