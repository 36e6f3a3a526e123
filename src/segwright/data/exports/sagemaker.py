"""Amazon SageMaker Ground Truth, semantic segmentation: an output.manifest with a line per image, and its masks.

The lines name images and masks in Amazon's storage; both are found in the folder by the end of their paths. The mask
has the colors of the ``internal-color-map`` in its line, or their numbers. A job that adjusts masks adds a mask of its
own to each line; the newest one counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from segwright.data.exports.entries import Entry, MapExport, is_background, map_labels
from segwright.data.exports.files_of_export import (
    Color,
    FormatFiles,
    color_number,
    parse,
    read_json_lines,
    require_color,
)
from segwright.data.exports.image_files import ImageFiles
from segwright.data.reading.label_maps import read_values
from segwright.errors import UserError
from segwright.labels import LabelSpace

NAME, TITLE, SPECIFIC = "sagemaker", "SageMaker Ground Truth", True
_MAP, _METADATA = "internal-color-map", "-metadata"
_FILES = FormatFiles(
    ("**/*.manifest", "*.jsonl", "*/*.jsonl"),
    (f"source-ref {_MAP}",),
    shows="has a color map for the mask of each image",
    missing="no output.manifest with color maps; expected one",
)
recognize = _FILES.evidence


class _Class(NamedTuple):
    name: str
    color: Color


def read(root: Path, split: str | None) -> MapExport:
    """The images of all manifests with their masks. Lines of images that were not labeled are left out."""
    files = _FILES.require(root)
    images, entries, classes = ImageFiles(root), list[Entry](), dict[int, _Class]()
    for path in files:
        for number, row in enumerate(read_json_lines(path, TITLE), start=1):
            where = f"{path}: line {number}"
            source, mask_name, colors = parse(row, _line, where, TITLE)
            if mask_name is None:
                continue
            mask = images.find((mask_name, mask_name.replace(":", "_")))
            if mask is None:
                raise UserError(
                    f"{where}: its mask {mask_name} is not in {root}; expected a file of this name; download the "
                    "folder of the labeling job ('aws s3 sync')"
                )
            _add_classes(colors, classes, where)
            image = images.require(source, where)
            entries.append(Entry(image, maps=(mask,), source=path))
    if not entries:
        raise UserError(f"{files[0]}: no line has a mask; expected labeled images; export the job again")
    labels = _labels(root, classes, is_rgb=read_values(entries[0].maps[0])[1])
    return MapExport(entries, labels)


def _line(row: dict[str, Any]) -> tuple[str, str | None, dict[int, _Class]]:
    """(path of the image, path of its newest mask, number -> class) of a line; no mask if it was not labeled."""
    keys = [key for key, value in row.items() if isinstance(value, dict) and _MAP in value]
    if not keys:
        return str(row["source-ref"]), None, {}
    dates = {key: str(row[key].get("creation-date") or "") for key in keys}
    key = max(reversed(keys), key=lambda key: dates[key])
    classes = {int(number): _class(item) for number, item in row[key][_MAP].items()}
    name = key.removesuffix(_METADATA)
    return str(row["source-ref"]), str(row[name] if name in row else row[f"{name}-ref"]), classes


def _class(item: dict[str, Any]) -> _Class:
    return _Class(str(item["class-name"]), require_color(item["hex-color"]))


def _add_classes(new: dict[int, _Class], classes: dict[int, _Class], where: str) -> None:
    """``UserError`` if a number is another class in a line before."""
    for number, row in new.items():
        if classes.setdefault(number, row) != row:
            raise UserError(
                f"{where}: number {number} is {row.name!r}, and {classes[number].name!r} in a line before; expected "
                "one class per number; keep the manifest of one labeling job"
            )


def _labels(root: Path, classes: dict[int, _Class], *, is_rgb: bool) -> LabelSpace:
    """The classes in the order of their numbers, background first; raw values as in the masks: colors or numbers."""
    rows = [
        (name, color_number(color) if is_rgb else number, color)
        for number, (name, color) in sorted(classes.items())
    ]
    return map_labels(root, sorted(rows, key=lambda row: not is_background(row[0])), rgb=is_rgb)
