"""Conversion of color-coded maps and labelme files into label maps.

Every conversion writes its complete result or nothing. It replaces existing files only with ``force``, does not change
the source, and writes the same bytes for the same source. The conversions of COCO JSON files are in coco.py.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segwright.data.exports.labelme import embedded_image
from segwright.data.reading.file_lists import MAP_EXTENSIONS, list_images
from segwright.data.reading.images import image_size, open_with_pillow
from segwright.data.reading.label_maps import read_class_values, unique_values, unpack_rgb, write_png
from segwright.data.reading.limits import refuse_decompression_bomb
from segwright.errors import UserError
from segwright.files import atomic_outputs, parse_json
from segwright.labels import IGNORED, LabelSpace, ignore_index, spread_colors
from segwright.parallel import map_in_threads


@dataclass(frozen=True, slots=True)
class ConversionResult:
    """What a conversion wrote: the files or folders, and the number of maps and of segments (or instances) in them.

    ``warnings``: what was left out, one line each.
    """

    written: tuple[Path, ...]
    maps: int
    segments: int = 0
    warnings: tuple[str, ...] = ()


BACKGROUND = "background"
"""The name of the class of pixels outside of all objects."""


def label_map_text(labels: LabelSpace, *, background: int | None = None) -> str:
    """The YAML of a label map for maps that ``labels.to_raw`` wrote.

    ``background``: the raw value of pixels outside of all objects. They are a first class of the name "background"; if
    ``labels`` has a class of this name, both are that class, and it is stuff.
    """
    import yaml

    classes: dict[str, Any] = {}
    if background is not None:
        classes[BACKGROUND] = {"raw": background, "color": "#000000"}
    for index, (name, raw, color) in enumerate(
        zip(labels.names, labels.raw_values, labels.colors, strict=True)
    ):
        raws = [raw, *(value for value, class_index in labels.also if class_index == index)]
        if name in classes:  # the label "background"
            classes[name]["raw"] = [background, *raws]
            continue
        red, green, blue = color
        classes[name] = {"raw": raws if len(raws) > 1 else raw, "color": f"#{red:02x}{green:02x}{blue:02x}"}
        if name in labels.things:
            classes[name]["thing"] = True
    ignored = [value for value in labels.ignored if value != background]
    values = {"name": labels.name, "classes": classes, "ignored": ignored}
    # Unicode as it is, except line breaks of Unicode: YAML would read them as spaces.
    readable = not re.search("[\x85\u2028\u2029]", "".join((labels.name, *labels.names)))
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=readable)


def unique_stem(name: str, *, image_of_stem: dict[str, str], source: Path) -> str:
    """The path of the maps of an image, without extension; it is added to ``image_of_stem``, stem -> image name.

    ``UserError`` if another image has the same stem, or the path leaves the folder.
    """
    stem = str(Path(name.replace("\\", "/")).with_suffix(""))
    if Path(stem).is_absolute() or PureWindowsPath(stem).drive or ".." in Path(stem).parts:
        raise UserError(
            f"{source}: names the image {name!r}; expected a name below the folder of images; correct it"
        )
    if image_of_stem.setdefault(stem, name) != name:
        raise UserError(
            f"{source}: {image_of_stem[stem]} and {name} would have the same map {stem}.png; rename one of the images"
        )
    return stem


def convert_rgb(source: Path, out: Path, labels: LabelSpace, *, force: bool = False) -> ConversionResult:
    """Color-coded maps -> maps of class indices: every map under ``source`` becomes a PNG under ``out``.

    ``labels`` is a label space with colors as raw values. Ignored pixels become 255 (16 bits and 65535 above 255
    classes). ``out`` also gets a ``label_map.yaml`` for the new maps. ``UserError`` for the first map with an unknown
    color names the file, the color, its number of pixels and the nearest class.
    """
    if labels.coding != "rgb":
        raise UserError(
            f"label space {labels.name!r} has no colors as raw values; expected a label map with '#RRGGBB' of each "
            "class, such as 'classes: {road: \"#804080\"}'; name it with --labels"
        )
    if out.resolve() == source.resolve() or source.resolve() in out.resolve().parents:
        raise UserError(f"{out}: lies in the folder of the color maps; choose a folder outside of {source}")
    files = list_images(source, recursive=True, extensions=MAP_EXTENSIONS, remedy="check the path")
    image_of_stem: dict[str, str] = {}
    stems = [
        unique_stem(str(path.relative_to(source)), image_of_stem=image_of_stem, source=source)
        for path in files
    ]
    indices = replace(
        labels, coding="index", raw_values=tuple(range(len(labels))), also=(), ignored=(labels.ignore_index,)
    )
    with atomic_outputs((out,), force=force) as (part,):

        def write(file: tuple[Path, str]) -> None:
            path, stem = file
            write_png(part / f"{stem}.png", _class_indices(path, labels))

        for _ in map_in_threads(write, zip(files, stems, strict=True)):
            pass
        (part / "label_map.yaml").write_text(label_map_text(indices), encoding="utf-8")
    return ConversionResult((out,), len(files))


def _class_indices(path: Path, labels: LabelSpace) -> NDArray[Any]:
    colors = read_class_values(path, "rgb")
    try:
        classes = labels.to_classes(colors)
    except ValueError:
        raise UserError(f"{path}: {_describe_unknown_color(colors, labels)}") from None
    return classes if classes.dtype == np.uint8 else classes.astype(np.uint16)


def _describe_unknown_color(colors: NDArray[Any], labels: LabelSpace) -> str:
    """The most frequent unknown color of a map, and the nearest class."""
    known = [
        *zip(labels.raw_values, labels.names, strict=True),
        *((value, labels.names[index]) for value, index in labels.also),
        *((value, "ignored") for value in labels.ignored),
    ]
    unknown = [value for value in unique_values(colors).tolist() if value not in {raw for raw, _ in known}]
    counts = [int((colors == value).sum()) for value in unknown[:64]]
    most_frequent = int(np.argmax(counts))
    color = unpack_rgb(np.array(unknown[most_frequent])).astype(int)
    distances = [float(np.abs(unpack_rgb(np.array(raw)).astype(int) - color).sum()) for raw, _ in known]
    raw, name = known[int(np.argmin(distances))]
    total = f" ({len(unknown)} unknown colors)" if len(unknown) > 1 else ""
    return (
        f"color #{unknown[most_frequent]:06x} of {counts[most_frequent]} pixels is no class{total}; nearest is "
        f"#{raw:06x}, {name}; add it to the label map (several colors of a class in a list), or export the map without "
        "smoothing"
    )


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


def left_out(empty: Sequence[str], what: str) -> tuple[str, ...]:
    """The warning of annotations without a pixel, of which ``empty`` describes each; none if there are none."""
    if not empty:
        return ()
    return (f"{empty[0]} covers no pixel ({len(empty)} such {what}); left out",)


_Shape = tuple[str, str, list[tuple[float, float]], Any]  # label, kind, points, group id
_MIN_POINTS = {"polygon": 3, "rectangle": 2, "circle": 2}


def _read_labelme(path: Path) -> dict[str, Any]:
    try:
        values = parse_json(path.read_bytes())
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); expected a labelme file; check the path"
        ) from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); save it again in labelme, or remove it") from None
    if not isinstance(values, dict) or not isinstance(values.get("shapes"), list):
        raise UserError(f"{path}: not a labelme file (it has no list 'shapes'); remove it from the folder")
    return values


def _read_shapes(path: Path) -> list[_Shape]:
    shapes = []
    for index, shape in enumerate(_read_labelme(path)["shapes"]):
        try:
            label, kind = str(shape["label"]), str(shape.get("shape_type") or "polygon")
            points = [(float(x), float(y)) for x, y in shape["points"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{path}: shape {index} is not as expected ({error}); save it again in labelme"
            ) from None
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
        shapes.append((label, kind, points, shape.get("group_id")))
    return shapes


def _read_size(path: Path) -> tuple[int, int]:
    """(height, width) of the image that a labelme file annotates."""
    values = _read_labelme(path)
    height, width = values.get("imageHeight"), values.get("imageWidth")
    if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
        return height, width
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
