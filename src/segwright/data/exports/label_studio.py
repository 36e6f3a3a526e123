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
from segwright.errors import UserError

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
    """The images of all tasks, each with one annotation: the ground truth of several, else the newest.

    Canceled annotations do not count. Tasks without annotation are left out, also those that have predictions, because
    exports of Label Studio hold ``annotations`` even where nothing was annotated; a file that has only ``predictions``
    (pre-annotations) is read by them.

    The classes are those of a config.xml or labels.txt in the folder, else in the order in which they first occur.
    """
    annotations = Annotations(root, TITLE)
    files = _FILES.find(root) or _ANY_JSON.require(root)
    for path in files:
        tasks = annotations.read_json(path)
        for number, task in _newest(tasks if isinstance(tasks, list) else [tasks]).items():
            _read(task, number, path, annotations)
    if not annotations.annotated:
        raise UserError(
            f"{files[0]}: no task has an annotation; expected annotated images; annotate them, or export other tasks"
        )
    return annotations.export(_listed_classes(root) or annotations.labels(), "the labeling config")


def _newest(tasks: list[Any]) -> dict[int, Any]:
    """Number -> task; of the rows of JSON-MIN, which has one per annotation, the newest of each task."""
    newest: dict[Any, tuple[int, Any]] = {}
    for number, task in enumerate(tasks):
        is_row = isinstance(task, dict) and task.get("annotation_id") is not None and "id" in task
        key = str(task["id"]) if is_row else number
        if key not in newest or _date(task) > _date(newest[key][1]):
            newest[key] = number, task
    return dict(newest.values())


def _date(annotation: dict[str, Any]) -> str:
    return str(annotation.get("created_at") or "")


def _listed_classes(root: Path) -> list[str]:
    """The classes that a labeling config (config.xml) or a list names."""
    configs = [read_xml(path, TITLE) for path in glob_visible(root, "*.xml")]
    named = ([str(label.get("value")) for label in config.iter("Label")] for config in configs)
    lists = (read_names(root / name) for name in ("labels.txt", "classes.txt") if (root / name).is_file())
    return next(filter(None, (*named, *lists)), [])


def _read(task: Any, number: int, path: Path, annotations: Annotations) -> None:
    where = f"task {task.get('id', number) if isinstance(task, dict) else number}"
    name, results = annotations.parse(task, _task, f"{path}: {where}")
    if results is None:
        return
    sizes = (stated_size(result, "original_height", "original_width") for result in results)
    annotated = annotations.add(
        annotations.images.require(name, f"{path}: {where}", path.parent, strip=_PREFIX),
        path,
        size=next(filter(None, sizes), None),
    )
    for index, result in enumerate(results):
        annotated.read(result, f"{where}, result {result.get('id', index)}", _shape)


def _task(task: dict[str, Any]) -> tuple[str, list[dict[str, Any]] | None]:
    """(name of the image, the results that are shapes, None if nobody annotated it) of a task."""
    data = task.get("data", task)
    names = [data.get(key) for key in ("image", "img", "ocr", "url")]
    names += [task.get("file_upload"), *(value for value in data.values() if "." in str(value))]
    name = next((name for name in names if name and isinstance(name, str)), None)
    if name is None:
        raise KeyError("image")
    results = _results(task)
    if results is None:
        return name, None
    shapes = [result for result in results if any(key in result.get("value", {}) for key in _GEOMETRY)]
    if len({result.get("to_name") for result in shapes}) > 1:
        raise ValueError("shapes on several images; one image per task can be read")
    # A shape of a control without labels is repeated by the control that gives its label.
    labeled = {result.get("id") for result in shapes if _label(result["value"])}
    return name, [r for r in shapes if _label(r["value"]) or r.get("id") is None or r["id"] not in labeled]


def _results(task: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The results of the annotation of a task that counts; None if there is none."""
    stated = next(
        (task[k] for k in ("annotations", "completions", "predictions") if task.get(k) is not None), None
    )
    if stated is None:
        return list(_short_results(task)) if task.get("annotation_id", 0) is not None else None
    valid = [a for a in stated if not a.get("was_cancelled") and not a.get("skipped")]
    best = max(reversed(valid), key=lambda a: (bool(a.get("ground_truth")), _date(a)), default=None)
    return None if best is None else best.get("result") or []


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
    is_rectangle = {"x", "y", "width", "height"} <= set(value) and {"rectanglelabels", "labels"} & set(value)
    if is_rectangle and (size or not value.get("rotation")):
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
