"""Panoptic quality of files in the format of panopticapi: a JSON file and a folder of PNG maps on either side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.formats.coco import CocoAnnotations
from segwright.data.reading.images import read_image
from segwright.errors import UserError
from segwright.labels import LabelSpace, spread_colors
from segwright.metrics.panoptic_quality import SegmentMatches, PanopticQuality
from segwright.parallel import map_in_threads
from segwright.samples import Segment

_PNG = b"\x89PNG\r\n\x1a\n"
_RGB, _RGBA = 2, 6  # color types of PNG


@dataclass(frozen=True, slots=True)
class _Map:
    """One map: its file and its segments (id, category id, crowd), with their areas where the JSON file states them."""

    image: Any
    path: Path
    segments: Sequence[tuple[int, int, bool]]
    areas: Mapping[int, int] | None


def score_panoptic(
    truth: Path, prediction: Path, *, truth_dir: Path | None = None, prediction_dir: Path | None = None
) -> dict[str, Any]:
    """{all | things | stuff: {pq, sq, rq, n}, class: {name: {pq, sq, rq}}, images}, as panopticapi computes it.

    Maps lie in the folders, by default those named like the JSON files without ending. Images go side by side, on all
    cores, and are counted in the order of the truth: the result is that of one process, to the last bit.
    ``UserError`` names what is missing or does not fit. Predictions of images without truth are left out.
    """
    about, other = CocoAnnotations.read(truth), CocoAnnotations.read(prediction)
    labels, classes = _labels(about)
    real = _maps(about, truth_dir or truth.with_suffix(""), classes)
    found = _maps(other, prediction_dir or prediction.with_suffix(""), classes)
    missing = [image for image in real if image not in found]
    if missing:
        raise UserError(
            f"{prediction}: has no annotation of image {missing[0]}, as of {len(missing)} of the {len(real)} images of "
            f"{truth.name}; expected one of each; predict them, too, with --ids {truth.name} where ids differ"
        )
    pairs = [(one, found[image]) for image, one in real.items()]
    _check_files([one.path for pair in pairs for one in pair])
    metric = PanopticQuality(labels)

    def compare(pair: tuple[_Map, _Map]) -> SegmentMatches:
        return _compared(metric, *pair, classes)

    for matches in map_in_threads(compare, pairs):
        metric.add_matches(matches)
    return metric.result() | {"images": len(pairs)}


def _labels(about: CocoAnnotations) -> tuple[LabelSpace, dict[int, int]]:
    """The categories in the order of the file, in which panopticapi adds them up; category id -> class."""
    rows = about.parse_rows(
        lambda row: (int(row["id"]), str(row["name"]), bool(row["isthing"])), about.categories, "category"
    )
    if not rows:
        raise UserError(
            f"{about.path}: has no 'categories'; expected id, name and isthing of each class; add them"
        )
    classes = {identity: place for place, (identity, *_) in enumerate(rows)}
    if len(classes) < len(rows):
        raise UserError(f"{about.path}: 'categories' names an id twice; number them from 1")
    names = [name for _, name, _ in rows]
    # Each category is a class of its own, even where two share a name.
    names = [
        name if names.count(name) == 1 else f"{name} ({identity})"
        for name, (identity, *_) in zip(names, rows, strict=True)
    ]
    things = tuple(name for name, (_, _, thing) in zip(names, rows, strict=True) if thing)
    try:
        space = LabelSpace(
            about.path.stem,
            tuple(names),
            spread_colors(len(rows)),
            tuple(range(len(rows))),
            ignored=(),
            things=things,
        )
    except ValueError as error:
        raise UserError(f"{about.path}: {error}; merge or remove categories") from None
    return space, classes


def _maps(about: CocoAnnotations, folder: Path, classes: Mapping[int, int]) -> dict[Any, _Map]:
    """The maps of a JSON file by image id, in its order."""
    found: dict[Any, _Map] = {}
    for image, name, segments, areas in about.parse_rows(
        _entry, about.annotations, "the annotation of image"
    ):
        if image in found:
            raise UserError(
                f"{about.path}: two annotations of image {image}; expected one an image; remove one"
            )
        strange = [segment for segment in segments if segment[1] not in classes]
        if strange:
            raise UserError(
                f"{about.path}: segment {strange[0][0]} of image {image} has category {strange[0][1]}, which is not "
                "among the categories of the truth; expected one of them; correct it"
            )
        found[image] = _Map(image, folder / name, segments, areas)
    if not found:
        raise UserError(f"{about.path}: 'annotations' is empty; expected one an image; export it again")
    return found


def _entry(row: Mapping[str, Any]) -> tuple[Any, str, list[tuple[int, int, bool]], dict[int, int] | None]:
    rows = row["segments_info"]
    segments = [(int(s["id"]), int(s["category_id"]), bool(s.get("iscrowd", 0))) for s in rows]
    stated = all("area" in s for s in rows)
    areas = {int(s["id"]): int(s["area"]) for s in rows} if stated else None
    names = [identity for identity, *_ in segments]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"segment {twice} is listed twice")
    hash(row["image_id"])
    return row["image_id"], str(row["file_name"]), segments, areas


def _check_files(paths: Sequence[Path]) -> None:
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise UserError(
            f"{missing[0]}: no such file, as for {len(missing)} of {len(paths)} maps; expected a PNG for each "
            "annotation; add it, or check --truth-dir and --prediction-dir"
        )


def _compared(metric: PanopticQuality, real: _Map, found: _Map, classes: Mapping[int, int]) -> SegmentMatches:
    truth, prediction = read_ids(real.path), read_ids(found.path)
    if truth.shape != prediction.shape:
        own, other = (f"{shape[1]}x{shape[0]}" for shape in (prediction.shape, truth.shape))
        raise UserError(
            f"{found.path}: {own}, its truth {real.path} is {other}; expected equal sizes; write the prediction in the "
            "size of the truth"
        )
    segments = [
        [Segment(identity, classes[category], crowd) for identity, category, crowd in one.segments]
        for one in (real, found)
    ]
    try:
        return metric.compare(prediction, segments[1], truth, segments[0], areas=real.areas)
    except ValueError as error:
        raise UserError(f"{found.path}: {error}; write JSON and PNG again") from None


def read_ids(path: Path) -> NDArray[np.int32]:
    """The ids R + 256 G + 65536 B of a PNG map, int32 [H, W]; ``UserError`` if it is none."""
    with path.open("rb") as file:
        head = file.read(26)
    if not head.startswith(_PNG) or len(head) < 26 or head[24] != 8 or head[25] not in (_RGB, _RGBA):
        raise UserError(
            f"{path}: no RGB PNG of 8 bits; expected ids as R + 256 G + 65536 B; write it again in COCO panoptic format"
        )
    # Four bytes a pixel, red the lowest, are a number: far less work than adding three channels.
    colors = cv2.cvtColor(read_image(path), cv2.COLOR_RGB2RGBA)
    ids: NDArray[np.int32] = colors.view("<i4")[..., 0]
    ids &= 0xFFFFFF
    return ids
