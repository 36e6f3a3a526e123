"""Amazon SageMaker Ground Truth, semantic segmentation: an output.manifest with a line per image, and its masks.

The lines name images and masks in Amazon's storage; both are found in the folder by the end of their paths. The mask
has the colors of the ``internal-color-map`` in its line, or their numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segwright.data.exports.entries import Entry, MapExport, is_background, map_labels, splits_of
from segwright.data.exports.files_of_export import (
    ImageFiles,
    color_from_hex,
    glob_visible,
    parse,
    read_json_lines,
    starts_with,
)
from segwright.data.exports.splits import split_of_path, standard_split
from segwright.data.reading.label_maps import read_map
from segwright.errors import UserError
from segwright.labels import LabelSpace

NAME, TITLE, SPECIFIC = "sagemaker", "SageMaker Ground Truth", True
_MAP = "internal-color-map"
_Color = tuple[int, int, int]


def recognize(root: Path) -> str | None:
    """A manifest whose lines have color maps."""
    files = _files(root)
    return None if not files else f"{files[0].relative_to(root)} has a color map for the mask of each image"


def _files(root: Path) -> list[Path]:
    paths = glob_visible(root, "**/*.manifest", "*.jsonl", "*/*.jsonl")
    return [path for path in paths if starts_with(path, '"source-ref"', f'"{_MAP}"')]


def read(root: Path, split: str | None) -> MapExport:
    """The images of all manifests with their masks. Lines of images that were not labeled are left out."""
    files = _files(root)
    if not files:
        raise UserError(f"{root}: no output.manifest with color maps; expected one; check the folder")
    images, entries = ImageFiles(root), list[Entry]()
    classes: dict[int, tuple[str, _Color]] = {}
    for path in files:
        for number, row in enumerate(read_json_lines(path, TITLE), start=1):
            where = f"{path}: line {number}"
            source, mask_name, colors = parse(row, _line, where, TITLE)
            if mask_name is None:
                continue
            mask = images.find(mask_name) or images.find(mask_name.replace(":", "_"))
            if mask is None:
                raise UserError(
                    f"{where}: its mask {mask_name} is not in {root}; expected a file of this name; download the "
                    "folder of the labeling job ('aws s3 sync')"
                )
            for value, row_of_class in colors.items():
                if classes.setdefault(value, row_of_class) != row_of_class:
                    raise UserError(
                        f"{where}: number {value} is {row_of_class[0]!r}, and {classes[value][0]!r} in a line before; "
                        "expected one class per number; keep the manifest of one labeling job"
                    )
            image = images.require(source, where)
            part = split_of_path(image, root) or standard_split(path.stem)
            entries.append(Entry(image, part, maps=(mask,), source=path))
    if not entries:
        raise UserError(f"{files[0]}: no line has a mask; expected labeled images; export the job again")
    labels = _labels(root, classes, entries[0].maps[0])
    return MapExport(entries, labels, declared=splits_of(entries))


def _line(row: dict[str, Any]) -> tuple[str, str | None, dict[int, tuple[str, _Color]]]:
    """(path of the image, path of its mask, number -> (class, color)) of a line; no mask if it was not labeled."""
    source = str(row["source-ref"])
    key = next((name for name, value in row.items() if isinstance(value, dict) and _MAP in value), None)
    if key is None:
        return source, None, {}
    classes = {}
    for number, item in row[key][_MAP].items():
        color = color_from_hex(item["hex-color"])
        if color is None:
            raise ValueError(f"{item['hex-color']!r} is no color such as #1f77b4")
        classes[int(number)] = (str(item["class-name"]), color)
    return source, str(row[key.removesuffix("-metadata")]), classes


def _labels(root: Path, classes: dict[int, tuple[str, _Color]], mask: Path) -> LabelSpace:
    """The classes in the order of their numbers, background first; raw values as in the masks: colors or numbers."""
    try:
        is_rgb = read_map(mask) is None
    except UserError as error:
        if "channels" not in str(error):
            raise
        is_rgb = True
    rows = [
        (name, (red << 16 | green << 8 | blue) if is_rgb else number, (red, green, blue))
        for number, (name, (red, green, blue)) in sorted(classes.items())
    ]
    return map_labels(root, sorted(rows, key=lambda row: not is_background(row[0])), rgb=is_rgb)
