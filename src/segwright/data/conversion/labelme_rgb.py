"""Maps in other formats made into maps that are read: color-coded maps and labelme files.

Every conversion writes its result whole or not at all, refuses to replace what is there unless ``force``, leaves
the source as it is, and gives the same bytes for the same source. ``convert_coco.py`` has those of JSON formats.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segwright.data.formats.folder_layout import MAP_ENDINGS
from segwright.data.reading.file_lists import images_in
from segwright.data.reading.images import image_size, refuse_bomb
from segwright.data.reading.label_maps import pack, present, read_map, unpack, write_png
from segwright.errors import UserError
from segwright.files import atomic_outputs
from segwright.labels import LabelSpace, spread_colors
from segwright.parallel import map_in_threads
from segwright.samples import IGNORED


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion wrote: the places, the number of maps and of segments (or instances) in them."""

    written: tuple[Path, ...]
    maps: int
    segments: int = 0


def label_map_text(labels: LabelSpace, *, background: int | None = None) -> str:
    """The YAML of a label map that reads what ``labels.to_raw`` wrote; ``background``: a class of that value."""
    import yaml

    classes: dict[str, Any] = {}
    if background is not None:
        classes["background"] = {"raw": background, "color": "#000000"}
    for name, raw, color in zip(labels.names, labels.raw_values, labels.colors, strict=True):
        red, green, blue = color
        classes[name] = {"raw": raw, "color": f"#{red:02x}{green:02x}{blue:02x}"}
        if name in labels.things:
            classes[name]["thing"] = True
    ignored = [value for value in labels.ignored if value != background]
    values = {"name": labels.name, "classes": classes, "ignored": ignored}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def stem_of(name: str, *, taken: dict[str, str], source: Path) -> str:
    """The name of the maps of an image, without ending; ``UserError`` if another image has the same."""
    stem = str(Path(name).with_suffix(""))
    if Path(stem).is_absolute() or ".." in Path(stem).parts:
        raise UserError(
            f"{source}: names the image {name!r}; expected a name below the folder of images; correct it"
        )
    if taken.setdefault(stem, name) != name:
        raise UserError(
            f"{source}: {taken[stem]} and {name} would have the same map {stem}.png; rename one of the images"
        )
    return stem


def convert_rgb(source: Path, out: Path, labels: LabelSpace, *, force: bool = False) -> Converted:
    """Color-coded maps -> class indices: the tree of maps under ``source`` as uint8 PNG under ``out``.

    ``labels`` comes from a label map with colors as raw values. Ignored pixels become 255. ``out`` also gets a
    ``label_map.yaml`` that reads the new maps. ``UserError`` names file, color, number of pixels and nearest class
    of the first unknown color.
    """
    if labels.coding != "rgb":
        raise UserError(
            f"label space {labels.name!r} has no colors as raw values; expected a label map with '#RRGGBB' of each "
            "class, such as 'classes: {road: \"#804080\"}'; name it with --labels"
        )
    if out.resolve() == source.resolve() or source.resolve() in out.resolve().parents:
        raise UserError(f"{out}: lies in the folder of the color maps; name a place outside of {source}")
    files = images_in(source, deep=True, endings=MAP_ENDINGS)
    taken: dict[str, str] = {}
    stems = [stem_of(str(path.relative_to(source)), taken=taken, source=source) for path in files]
    indices = replace(
        labels, coding="index", raw_values=tuple(range(len(labels))), also=(), ignored=(IGNORED,)
    )
    with atomic_outputs((out,), force=force) as (part,):

        def write(pair: tuple[Path, str]) -> None:
            write_png(part / f"{pair[1]}.png", _indices(pair[0], labels))

        for _ in map_in_threads(write, zip(files, stems, strict=True)):
            pass
        (part / "label_map.yaml").write_text(label_map_text(indices), encoding="utf-8")
    return Converted((out,), len(files))


def _indices(path: Path, labels: LabelSpace) -> NDArray[np.uint8]:
    colors = pack(read_map(path, "rgb"))
    try:
        return labels.to_classes(colors)
    except ValueError:
        pass
    named = [
        *zip(labels.raw_values, labels.names, strict=True),
        *((v, labels.names[i]) for v, i in labels.also),
    ]
    named += [(value, "ignored") for value in labels.ignored]
    shown = present(colors)
    unknown = [value for value in shown.tolist() if value not in {raw for raw, _ in named}]
    counts = [int((colors == value).sum()) for value in unknown[:64]]
    most = int(np.argmax(counts))
    color = unpack(np.array(unknown[most])).astype(int)
    distances = [float(np.abs(unpack(np.array(raw)).astype(int) - color).sum()) for raw, _ in named]
    raw, name = named[int(np.argmin(distances))]
    many = f" ({len(unknown)} unknown colors)" if len(unknown) > 1 else ""
    raise UserError(
        f"{path}: color #{unknown[most]:06x} of {counts[most]} pixels is no class{many}; nearest is #{raw:06x}, "
        f"{name}; add it to the label map (several colors of a class in a list), or export the map without smoothing"
    )


def convert_labelme(
    source: Path, out: Path, *, names: Sequence[str] | None = None, force: bool = False
) -> Converted:
    """labelme JSON files of a folder -> ``out``/labels (class values) and ``out``/instances (numbers from 1).

    Values count from 1 in the order of ``names``, else of all labels in the alphabet; 0 is background and a label
    ``__ignore__`` is 255. Later shapes cover earlier ones, as labelme shows them; shapes of one label with the same
    group id are one instance. ``out``/label_map.yaml says all that, every class a thing: correct it for stuff.
    Polygons, rectangles and circles; ``UserError`` names the file for anything else.
    """
    files = images_in(source, deep=True, endings=(".json",))
    shapes = [_labelme_shapes(path) for path in files]
    found = {label for of_image in shapes for label, *_ in of_image} - {"__ignore__"}
    given = [name for name in names if name not in ("__ignore__", "_background_")] if names else sorted(found)
    if not 0 < len(given) < IGNORED:
        raise UserError(f"{source}: {len(given)} labels; expected 1 to {IGNORED - 1}; check the files")
    for path, of_image in zip(files, shapes, strict=True):
        unknown = [label for label, *_ in of_image if label not in (*given, "__ignore__", "_background_")]
        if unknown:
            raise UserError(
                f"{path}: label {unknown[0]!r} is not among {', '.join(given[:12])}; correct it, or add it to the names"
            )
    values = {name: place + 1 for place, name in enumerate(given)} | {
        "_background_": 0,
        "__ignore__": IGNORED,
    }
    labels = LabelSpace(
        source.name or "labelme",
        tuple(given),
        spread_colors(len(given)),
        tuple(values[name] for name in given),
        things=tuple(given),
    )
    total = 0
    with atomic_outputs((out,), force=force) as (part,):
        for path, of_image in zip(files, shapes, strict=True):
            classes, instances = _painted(path, of_image, values)
            name = path.relative_to(source).with_suffix(".png")
            write_png(part / "labels" / name, classes)
            write_png(part / "instances" / name, instances)
            total += len(present(instances)) - int((instances == 0).any())
        (part / "label_map.yaml").write_text(label_map_text(labels, background=0), encoding="utf-8")
    return Converted((out,), len(files), total)


_Shape = tuple[str, str, list[tuple[float, float]], Any]
_FEWEST_POINTS = {"polygon": 3, "rectangle": 2, "circle": 2}


def _labelme(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a labelme file") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); save it again in labelme, or remove it") from None
    if not isinstance(values, dict) or not isinstance(values.get("shapes"), list):
        raise UserError(f"{path}: not a labelme file (no list 'shapes'); remove it from the folder")
    return values


def _labelme_shapes(path: Path) -> list[_Shape]:
    """(label, kind, points, group) of each shape of a file."""
    found = []
    for place, shape in enumerate(_labelme(path)["shapes"]):
        try:
            label, kind = str(shape["label"]), str(shape.get("shape_type") or "polygon")
            points = [(float(x), float(y)) for x, y in shape["points"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{path}: shape {place} is not as expected ({error}); save it again in labelme"
            ) from None
        if kind not in _FEWEST_POINTS:
            raise UserError(
                f"{path}: shape {place} ({label}) is a {kind}; expected {', '.join(_FEWEST_POINTS)}; draw it as a "
                "polygon or remove it"
            )
        if len(points) < _FEWEST_POINTS[kind]:
            raise UserError(
                f"{path}: shape {place} ({label}), a {kind}, has {len(points)} points; expected at least "
                f"{_FEWEST_POINTS[kind]}; draw it again or remove it"
            )
        found.append((label, kind, points, shape.get("group_id")))
    return found


def _labelme_size(path: Path) -> tuple[int, int]:
    values = _labelme(path)
    height, width = values.get("imageHeight"), values.get("imageWidth")
    if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
        return height, width
    image = path.parent / str(values.get("imagePath") or "").replace("\\", "/")
    if image.is_file():
        return image_size(image)
    raise UserError(
        f"{path}: says no imageHeight and imageWidth, and there is no image {image}; expected one of both; add the "
        "image or save the file again in labelme"
    )


def _painted(
    path: Path, shapes: Sequence[_Shape], values: dict[str, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """The map of classes and the map of instances of a file, later shapes over earlier ones."""
    height, width = _labelme_size(path)
    refuse_bomb(path, width, height)
    reach = 2 * max(height, width)
    for place, (label, _, points, _) in enumerate(shapes):
        if not all(abs(value) <= reach for point in points for value in point):  # false for NaN, too
            raise UserError(
                f"{path}: shape {place} ({label}) has a point that is no number, or far outside of {width}x{height} "
                "pixels; correct it in labelme"
            )
    classes = np.zeros((height, width), dtype=np.uint8)
    instances = np.zeros((height, width), dtype=np.uint16)
    numbers: dict[Any, int] = {}
    for place, (label, kind, points, group) in enumerate(shapes):
        key = place if group is None else (label, group)
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
        mask = np.asarray(canvas, dtype=bool)
        classes[mask] = values[label]
        nothing = values[label] in (0, IGNORED)
        instances[mask] = 0 if nothing else numbers.setdefault(key, len(numbers) + 1)
    return classes, instances
