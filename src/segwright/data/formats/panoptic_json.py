"""Maps in the coding of COCO panoptic beside images that are found without their JSON file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segwright.data.formats.coco import Annotations
from segwright.data.formats.ground_truth import PanopticMaps, SegmentTable
from segwright.data.reading.file_lists import Paths, partners
from segwright.errors import UserError

_Entry = tuple[str, str, list[tuple[int, int, bool]]]


def panoptic_maps(
    source: Path,
    folder: Path,
    images: Sequence[Path],
    *,
    key: Callable[[Path], str],
    values: Mapping[str, int],
    translate: Mapping[int, int] | None = None,
) -> PanopticMaps:
    """The truth of ``images`` in ``source`` and ``folder``; ``key`` gives the image id of an image.

    ``values``: the raw value of each class name, by which the categories of the file are understood; only a file
    that describes none is read by ``translate``, category id -> raw value. The file may speak of more images;
    ``UserError`` names the first image of which it does not.
    """
    about = Annotations.read(source)
    entries = about.take(_entry, about.annotations, "the annotation of image")
    known = {image: (name, rows) for image, name, rows in entries}
    missing = [image for image in images if key(image) not in known]
    if missing:
        raise UserError(
            f"{source}: says nothing of image {key(missing[0])}, as of {len(missing)} of {len(images)} images; "
            "expected an annotation for each; make the file again, or remove the images"
        )
    found = partners(images, lambda image: folder / known[key(image)][0], kind="panoptic map")
    table = SegmentTable([known[key(image)][1] for image in images])
    return PanopticMaps(Paths(found), table, source, _by_name(about, values) or translate)


def _by_name(about: Annotations, values: Mapping[str, int]) -> Mapping[int, int]:
    categories = about.take(lambda row: (int(row["id"]), str(row["name"])), about.categories, "category")
    for _, name in categories:
        if name not in values:
            raise UserError(
                f"{about.path}: category {name!r} is none of this data set; expected {next(iter(values))!r} and the "
                "like; check which file it is, or rename the category"
            )
    return {identity: values[name] for identity, name in categories}


def _entry(row: Mapping[str, Any]) -> _Entry:
    segments = [
        (int(segment["id"]), int(segment["category_id"]), bool(segment.get("iscrowd", 0)))
        for segment in row["segments_info"]
    ]
    wrong = [identity for identity, *_ in segments if not 0 < identity <= 0xFFFFFF]
    if wrong:
        raise ValueError(f"segment id {wrong[0]}; expected 1..{0xFFFFFF}, 0 is void")
    return str(row["image_id"]), str(row["file_name"]), segments
