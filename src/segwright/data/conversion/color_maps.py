"""Color-coded maps to maps of class values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.conversion.results import ConversionResult, label_map_text, unique_stem
from segwright.data.reading.file_lists import MAP_EXTENSIONS, list_images
from segwright.data.reading.label_maps import read_class_values, unique_values, unpack_rgb, write_png
from segwright.errors import UserError
from segwright.files import atomic_outputs
from segwright.labels import LabelSpace
from segwright.parallel import map_in_threads


def convert_rgb(source: Path, out: Path, labels: LabelSpace, *, force: bool = False) -> ConversionResult:
    """Color-coded maps -> maps of class indices: every map under ``source`` becomes a PNG under ``out``.

    ``labels`` is a label space with colors as raw values. Ignored pixels become 255 (16 bits and 65535 above 255
    classes). ``out`` also gets a ``label_map.yaml`` for the new maps. ``UserError`` for the first map with an unknown
    color names the file, the color, its number of pixels and the nearest class.
    """
    if labels.coding != "rgb":
        raise UserError(
            f"label space {labels.name!r} has no colors as raw values; expected a class file with '#RRGGBB' of each "
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
        f"#{raw:06x}, {name}; add it to the class file (several colors of a class in a list), or export the map "
        "without smoothing"
    )
