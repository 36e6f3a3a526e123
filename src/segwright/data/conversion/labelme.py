"""labelme polygons, rectangles, circles and masks to maps of classes and of instances."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.conversion.results import BACKGROUND, ConversionResult, label_map_text, left_out
from segwright.data.exports.annotations import Shape
from segwright.data.exports.files_of_export import parse, stated_size
from segwright.data.exports.labelme import LEAST_POINTS, embedded_image, read_file, read_shape
from segwright.data.exports.object_shapes import OutsideError, shape_to_rle
from segwright.data.reading.file_lists import list_images
from segwright.data.reading.images import image_size, open_with_pillow
from segwright.data.reading.label_maps import unique_values, write_png
from segwright.data.reading.limits import refuse_decompression_bomb
from segwright.data.reading.rle import decode_mask
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
    Polygons, rectangles, circles and masks are converted; ``UserError`` names the file for any other shape.
    """
    files = list_images(source, recursive=True, extensions=(".json",), remedy="check the path")
    shapes_of_files = [_read_shapes(path) for path in files]
    special = ("__ignore__", "_background_")
    occurring = {shape.label for shapes in shapes_of_files for shape in shapes} - {*special}
    classes = [name for name in names if name not in special] if names else sorted(occurring)
    if not 0 < len(classes) < LabelSpace.MAX_CLASSES:
        raise UserError(
            f"{source}: {len(classes)} labels; expected 1 to {LabelSpace.MAX_CLASSES - 1}; check the files"
        )
    ignored = ignore_index(len(classes) + 1)  # with background
    for path, shapes in zip(files, shapes_of_files, strict=True):
        unknown = [shape.label for shape in shapes if shape.label not in (*classes, *special)]
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
            empty += [f"{path}: shape {index} ({shapes[index].label})" for index in without_pixel]
            name = path.relative_to(source).with_suffix(".png")
            write_png(part / "labels" / name, class_map)
            write_png(part / "instances" / name, instance_map)
            total += len(unique_values(instance_map)) - int((instance_map == 0).any())
        (part / "label_map.yaml").write_text(label_map_text(labels, background=0), encoding="utf-8")
    return ConversionResult((out,), len(files), total, left_out(empty, "shapes"))


def _read_shapes(path: Path) -> list[Shape]:
    shapes = []
    for index, item in enumerate(read_file(path)["shapes"]):
        shape = parse(item, read_shape, f"{path}: shape {index}", "labelme")
        if shape.outline is None:
            raise UserError(
                f"{path}: shape {index} ({shape.label}) is a {shape.kind}; expected {', '.join(LEAST_POINTS)}; draw it "
                "as a polygon or remove it"
            )
        shapes.append(shape)
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
    path: Path, shapes: Sequence[Shape], values: dict[str, int]
) -> tuple[NDArray[Any], NDArray[np.uint16], list[int]]:
    """The class map and the instance map of a labelme file, and the indices of shapes that cover no pixel.

    Later shapes cover earlier ones.
    """
    height, width = _read_size(path)
    refuse_decompression_bomb(path, width, height)
    ignored = values["__ignore__"]
    class_map = np.zeros((height, width), dtype=np.uint8 if ignored == IGNORED else np.uint16)
    instance_map = np.zeros((height, width), dtype=np.uint16)
    numbers: dict[Any, int] = {}
    without_pixel: list[int] = []
    for index, shape in enumerate(shapes):
        label, where = shape.label, f"{path}: shape {index} ({shape.label})"
        mask = np.zeros((height, width), dtype=bool)
        with suppress(OutsideError):
            mask = decode_mask(shape_to_rle(shape.outline, (height, width), where))
        if not mask.any():
            without_pixel.append(index)
            continue
        instance = index if shape.group is None else (label, shape.group)
        has_instances = values[label] not in (0, ignored) and label != BACKGROUND
        class_map[mask] = values[label]
        instance_map[mask] = numbers.setdefault(instance, len(numbers) + 1) if has_instances else 0
    return class_map, instance_map, without_pixel
