"""Label Studio: JSON or JSON-MIN with polygons, rectangles and ellipses in percent, brushes, and bitmasks (PNG)."""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, pi, sin
from pathlib import Path
from typing import Any

from segwright.data.exports.annotations import Annotations, Shape
from segwright.data.exports.entries import ObjectExport
from segwright.data.exports.files_of_export import (
    FormatFiles,
    glob_visible,
    read_names,
    read_xml,
    starts_with,
    stated_size,
)
from segwright.data.exports.object_shapes import ellipse, polygon

NAME, TITLE, SPECIFIC = "labelstudio", "Label Studio", True
_FILES = FormatFiles(
    ("*.json", "*/*.json", "*/*/*.json"),
    ("original_width", "polygonlabels", "brushlabels", "completions", "completed_by", "data result"),
    accept=lambda path: not starts_with(path, '"categories"'),  # COCO
    shows="is a list of tasks with results in percent or brushes",
)
recognize = _FILES.evidence
_ANY_JSON = FormatFiles(("*.json",), missing="no JSON file of Label Studio; expected an export")
_PREFIX = r"^[0-9a-f]{2,12}-"  # Label Studio puts it before the names of uploaded files
_GEOMETRY = ("points", "rle", "imageDataURL", "vertices", "radiusX", "width")
"""The fields of which a result on an image has one; others are about the whole image, or text."""


def read(root: Path, split: str | None) -> ObjectExport:
    """The images of all tasks, each with its last annotation that was not canceled.

    Exports of Label Studio hold ``annotations`` even where nothing was annotated; a file that has only ``predictions``
    (pre-annotations) is read by them.

    The classes are those of a config.xml or labels.txt in the folder, else in the order in which they first occur.
    """
    annotations = Annotations(root, TITLE)
    for path in _FILES.find(root) or _ANY_JSON.require(root):
        tasks = annotations.read_json(path)
        for number, task in enumerate(tasks if isinstance(tasks, list) else [tasks]):
            _read(task, number, path, annotations)
    return annotations.export(_listed_classes(root) or annotations.labels(), "the labeling config")


def _listed_classes(root: Path) -> list[str]:
    """The classes that a labeling config (config.xml) or a list names."""
    configs = [read_xml(path, TITLE) for path in glob_visible(root, "*.xml")]
    named = ([str(label.get("value")) for label in config.iter("Label")] for config in configs)
    lists = (read_names(root / name) for name in ("labels.txt", "classes.txt") if (root / name).is_file())
    return next(filter(None, (*named, *lists)), [])


def _read(task: Any, number: int, path: Path, annotations: Annotations) -> None:
    where = f"task {task.get('id', number) if isinstance(task, dict) else number}"
    name, results = annotations.parse(task, _task, f"{path}: {where}")
    sizes = (stated_size(result, "original_height", "original_width") for result in results)
    annotated = annotations.add(
        annotations.images.require(name, f"{path}: {where}", path.parent, strip=_PREFIX),
        path,
        size=next(filter(None, sizes), None),
    )
    for index, result in enumerate(results):
        annotated.read(result, f"{where}, result {result.get('id', index)}", _shape)


def _task(task: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """(name of the image, the results that are shapes) of a task."""
    data = task.get("data", task)
    names = [data.get(key) for key in ("image", "img", "ocr", "url")]
    names += [task.get("file_upload"), *(value for value in data.values() if "." in str(value))]
    name = next((name for name in names if name and isinstance(name, str)), None)
    if name is None:
        raise KeyError("image")
    annotations = task.get("annotations", task.get("completions", task.get("predictions")))
    if annotations is None:
        results = list(_short_results(task))
    else:
        valid = [a for a in annotations if not a.get("was_cancelled")]
        results = valid[-1].get("result", []) if valid else []
    shapes = [result for result in results if any(key in result.get("value", {}) for key in _GEOMETRY)]
    # A shape of a control without labels is repeated by the control that gives its label.
    labeled = {result.get("id") for result in shapes if _label(result["value"])}
    return name, [r for r in shapes if _label(r["value"]) or r.get("id") is None or r["id"] not in labeled]


def _short_results(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The results of a task of JSON-MIN: lists of values under the names of the controls."""
    for values in task.values():
        for value in values if isinstance(values, list) else ():
            if isinstance(value, dict):
                yield {"value": value, "type": _control(value) or "", **value}


def _control(value: dict[str, Any]) -> str | None:
    """The control that gave the labels of a value: "polygonlabels", "brushlabels", "labels" and so on."""
    return next((key for key in value if key.endswith("labels") and value[key]), None)


def _label(value: dict[str, Any]) -> str | None:
    control = _control(value)
    return str(value[control][0]) if control else None


def _shape(result: dict[str, Any]) -> Shape:
    value, size = result["value"], stated_size(result, "original_height", "original_width")
    label, kind = _label(value), str(result.get("type", "other"))
    if label is None:
        return Shape("", kind=kind)
    return Shape(label, _outline(value, size), kind)


def _outline(value: dict[str, Any], size: tuple[int, int] | None) -> dict[str, Any] | None:
    if "rle" in value:
        return {"brush": value["rle"]}
    if "imageDataURL" in value:
        return {"png": str(value["imageDataURL"])}
    if "points" in value:
        return {"fractions": [polygon((x / 100, y / 100) for x, y in value["points"])]}
    if "radiusX" in value and size:  # in pixels while it is turned: width and height differ
        scale = (size[1] / 100, size[0] / 100)
        center = float(value["x"]) * scale[0], float(value["y"]) * scale[1]
        radii = float(value["radiusX"]) * scale[0], float(value["radiusY"]) * scale[1]
        return {"polygons": [ellipse(center, radii, float(value.get("rotation") or 0))]}
    if {"x", "y", "width", "height"} <= set(value) and "rectanglelabels" in value:
        return _rectangle(value, size or (100, 100))
    return None


def _rectangle(value: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    height, width = size
    left, top = float(value["x"]) / 100 * width, float(value["y"]) / 100 * height
    across, down = float(value["width"]) / 100 * width, float(value["height"]) / 100 * height
    turn = float(value.get("rotation") or 0) * pi / 180
    corners = [(0.0, 0.0), (across, 0.0), (across, down), (0.0, down)]
    points = [(left + x * cos(turn) - y * sin(turn), top + x * sin(turn) + y * cos(turn)) for x, y in corners]
    return {"fractions": [[number for x, y in points for number in (x / width, y / height)]]}
