"""COCO panoptic ground truth for given images: datasets that list their images without the JSON file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segwright.data.formats.coco import CocoAnnotations
from segwright.data.formats.coco_rows import parse_segments
from segwright.data.formats.ground_truth import CocoPanopticMaps, SegmentTable
from segwright.data.reading.file_lists import match_files
from segwright.errors import UserError

_Entry = tuple[str, str, list[tuple[int, int, bool]]]  # image id, file name, (segment id, category, crowd)


def read_panoptic_json(
    source: Path,
    folder: Path,
    images: Sequence[Path],
    *,
    key: Callable[[Path], str],
    values: Mapping[str, int],
    translate: Mapping[int, int] | None = None,
) -> CocoPanopticMaps:
    """The ground truth of ``images`` in the JSON file ``source`` and the folder of its PNG maps.

    ``key`` gives the image id of an image. ``values``: the raw value of each class name; categories of the file are
    matched by name. A file without categories is read with ``translate`` instead, category id -> raw value. The file
    may contain more images; ``UserError`` names the first image without an annotation.
    """
    coco = CocoAnnotations.read(source)
    entries = coco.parse_rows(_parse_entry, coco.annotations, "the annotation of image")
    entry_of_image = {image: (name, segments) for image, name, segments in entries}
    missing = [image for image in images if key(image) not in entry_of_image]
    if missing:
        raise UserError(
            f"{source}: has no annotation of image {key(missing[0])} (missing for {len(missing)} of {len(images)} "
            "images); expected one per image; create the file again, or remove the images"
        )
    maps = match_files(images, lambda image: folder / entry_of_image[key(image)][0], kind="panoptic map")
    table = SegmentTable([entry_of_image[key(image)][1] for image in images])
    return CocoPanopticMaps(maps, table, source, _translate_by_name(coco, values) or translate)


def _translate_by_name(coco: CocoAnnotations, values: Mapping[str, int]) -> Mapping[int, int]:
    categories = coco.parse_rows(lambda row: (int(row["id"]), str(row["name"])), coco.categories, "category")
    for _, name in categories:
        if name not in values:
            raise UserError(
                f"{coco.path}: unknown category {name!r}; expected the classes of this dataset, such as "
                f"{next(iter(values))!r}; check which file it is, or rename the category"
            )
    return {category: values[name] for category, name in categories}


def _parse_entry(row: Mapping[str, Any]) -> _Entry:
    return str(row["image_id"]), str(row["file_name"]), parse_segments(row)
