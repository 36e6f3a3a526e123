"""labelme polygons, rectangles and circles to maps of classes and of instances."""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segwright.data.conversion.results import BACKGROUND, ConversionResult, label_map_text, left_out
from segwright.data.exports.files_of_export import parse, stated_size
from segwright.data.exports.labelme import LEAST_POINTS, embedded_image, read_file, shape_fields
from segwright.data.reading.file_lists import list_images
from segwright.data.reading.images import image_size, open_with_pillow
from segwright.data.reading.label_maps import unique_values, write_png
from segwright.data.reading.limits import refuse_decompression_bomb
from segwright.errors import UserError
from segwright.files import atomic_outputs
from segwright.labels import IGNORED, LabelSpace, ignore_index, spread_colors


def convert_labelme(
    source: Path, out: Path, *, names: Sequence[str] | None = None, force: bool = False
) -> ConversionResult:
    """The labelme JSON files of a folder -> ``out``/labels (class values) and ``out``/instances (numbers from 1).

    The class values count from 1 in the order of ``names``, or of all labels, sorted; 0 is background. The label
    ``__ignore__`` becomes 255 (65535 above 254 labels), and "background" is one class with the pixels outside of all
    shapes. Later shapes cover earlier ones, as labelme shows them. Shapes with the same label and group id are one
    instance. ``out``/label_map.yaml describes the maps and declares every class a thing; correct it for stuff.
    Polygons, rectangles and circles are converted; ``UserError`` names the file for any other shape.
    """
    files = list_images(source, recursive=True, extensions=(".json",), remedy="check the path")
    shapes_of_files = [_read_shapes(path) for path in files]
    special = ("__ignore__", "_background_")
    occurring = {label for shapes in shapes_of_files for label, *_ in shapes} - {*special}
    classes = [name for name in names if name not in special] if names else sorted(occurring)
    if not 0 < len(classes) < LabelSpace.MAX_CLASSES:
        raise UserError(
            f"{source}: {len(classes)} labels; expected 1 to {LabelSpace.MAX_CLASSES - 1}; check the files"
        )
    ignored = ignore_index(len(classes) + 1)  # with background
    for path, shapes in zip(files, shapes_of_files, strict=True):
        unknown = [label for label, *_ in shapes if label not in (*classes, *special)]
        if unknown:
            raise UserError(
                f"{path}: label {unknown[0]!r} is not among {', '.join(classes[:12])}; correct it, or add it to the "
                "names"
            )
    values = {name: index + 1 for index, name in enumerate(classes)} | {
        "_background_": 0,
        "__ignore__": ignored,
    }
    labels = LabelSpace(
        source.name or "labelme",
        tuple(classes),
        spread_colors(len(classes)),
        tuple(values[name] for name in classes),
        (ignored,),
        things=tuple(name for name in classes if name != BACKGROUND),
    )
    total = 0
    empty: list[str] = []
    with atomic_outputs((out,), force=force) as (part,):
        for path, shapes in zip(files, shapes_of_files, strict=True):
            class_map, instance_map, without_pixel = _paint(path, shapes, values)
            empty += [f"{path}: shape {index} ({shapes[index][0]})" for index in without_pixel]
            name = path.relative_to(source).with_suffix(".png")
            write_png(part / "labels" / name, class_map)
            write_png(part / "instances" / name, instance_map)
            total += len(unique_values(instance_map)) - int((instance_map == 0).any())
        (part / "label_map.yaml").write_text(label_map_text(labels, background=0), encoding="utf-8")
    return ConversionResult((out,), len(files), total, left_out(empty, "shapes"))


_Shape = tuple[str, str, list[tuple[float, float]], Any]  # label, kind, points, group id
_MIN_POINTS = {kind: count for kind, count in LEAST_POINTS.items() if kind != "mask"}


def _read_shapes(path: Path) -> list[_Shape]:
    shapes = []
    for index, item in enumerate(read_file(path)["shapes"]):
        label, kind, points, group = parse(item, shape_fields, f"{path}: shape {index}", "labelme")
        if kind not in _MIN_POINTS:
            raise UserError(
                f"{path}: shape {index} ({label}) is a {kind}; expected {', '.join(_MIN_POINTS)}; draw it as a "
                "polygon or remove it"
            )
        if len(points) < _MIN_POINTS[kind]:
            raise UserError(
                f"{path}: shape {index} ({label}), a {kind}, has {len(points)} points; expected at least "
                f"{_MIN_POINTS[kind]}; draw it again or remove it"
            )
        shapes.append((label, kind, points, group))
    return shapes


def _read_size(path: Path) -> tuple[int, int]:
    """(height, width) of the image that a labelme file annotates."""
    values = read_file(path)
    if size := stated_size(values, "imageHeight", "imageWidth"):
        return size
    image = path.parent / str(values.get("imagePath") or "").replace("\\", "/")
    if image.is_file():  # only its size is read
        return image_size(image)
    if values.get("imageData"):
        with open_with_pillow(io.BytesIO(embedded_image(values, path))) as embedded:
            return embedded.height, embedded.width
    raise UserError(
        f"{path}: imageHeight and imageWidth are missing, and the image {image} does not exist; expected one of them; "
        "add the image or save the file again in labelme"
    )


def _paint(
    path: Path, shapes: Sequence[_Shape], values: dict[str, int]
) -> tuple[NDArray[Any], NDArray[np.uint16], list[int]]:
    """The class map and the instance map of a labelme file, and the indices of shapes that cover no pixel.

    Later shapes cover earlier ones.
    """
    height, width = _read_size(path)
    refuse_decompression_bomb(path, width, height)
    limit = 2 * max(height, width)
    for index, (label, _, points, _) in enumerate(shapes):
        if not all(abs(value) <= limit for point in points for value in point):  # NaN fails, too
            raise UserError(
                f"{path}: shape {index} ({label}) has a point that is not finite, or far outside of {width}x{height} "
                "pixels; correct it in labelme"
            )
    ignored = values["__ignore__"]
    class_map = np.zeros((height, width), dtype=np.uint8 if ignored == IGNORED else np.uint16)
    instance_map = np.zeros((height, width), dtype=np.uint16)
    numbers: dict[Any, int] = {}
    without_pixel: list[int] = []
    for index, (label, kind, points, group) in enumerate(shapes):
        mask = _draw_shape(kind, points, (height, width))
        if not mask.any():
            without_pixel.append(index)
            continue
        instance = index if group is None else (label, group)
        has_instances = values[label] not in (0, ignored) and label != BACKGROUND
        class_map[mask] = values[label]
        instance_map[mask] = numbers.setdefault(instance, len(numbers) + 1) if has_instances else 0
    return class_map, instance_map, without_pixel


def _draw_shape(kind: str, points: Sequence[tuple[float, float]], size: tuple[int, int]) -> NDArray[np.bool_]:
    height, width = size
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    if kind == "circle":
        (x, y), edge = points[0], points[1]
        radius = hypot(edge[0] - x, edge[1] - y)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1, outline=1)
    elif kind == "rectangle":
        (left, right), (top, bottom) = (sorted((points[0][axis], points[1][axis])) for axis in (0, 1))
        draw.rectangle((left, top, right, bottom), fill=1, outline=1)
    else:
        draw.polygon(points, fill=1, outline=1)
    return np.asarray(canvas, dtype=bool)
