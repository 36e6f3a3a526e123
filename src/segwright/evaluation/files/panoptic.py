"""Panoptic quality of files in COCO panoptic format: a JSON file and a folder of PNG maps for each side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.formats.coco import CocoAnnotations
from segwright.data.formats.coco_rows import posix_name
from segwright.data.reading.file_lists import leads_out
from segwright.data.reading.images import read_image
from segwright.data.reading.png_decoder import decode_png, is_png
from segwright.errors import UserError
from segwright.evaluation.files.categories import check_same_categories, file_classes
from segwright.evaluation.files.parallel_images import Progress, map_images
from segwright.metrics.object_boundaries import BOUNDARY_RATIO
from segwright.metrics.panoptic_quality import PanopticQuality, SegmentMatches
from segwright.samples import Segment

_RGB, _RGBA = 2, 6  # color types of PNG


@dataclass(frozen=True, slots=True)
class _Map:
    """A map: its file, its segments (id, category id, crowd), and their areas if the JSON file contains them."""

    image: Any
    path: Path
    segments: Sequence[tuple[int, int, bool]]
    areas: Mapping[int, int] | None


def score_panoptic(
    truth: Path,
    prediction: Path,
    *,
    truth_dir: Path | None = None,
    prediction_dir: Path | None = None,
    boundary: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """{all | things | stuff: {pq, sq, rq, n, tp, fp, fn, iou_sum}, class: {name: {...}}, kind, images}.

    As panopticapi computes them. ``boundary``: the IoU of two segments is that of their masks or that
    of their boundaries, whichever is smaller, as in Cheng et al.: Boundary IoU, CVPR 2021; ``kind`` is then "boundary",
    otherwise "mask". ``metrics.panoptic_quality.panoptic_scores`` describes the scores.

    ``truth`` and ``prediction`` are JSON files; the PNG maps are in ``truth_dir`` and ``prediction_dir``, by default
    the folders with the names of the JSON files. Images are compared in parallel and counted in the order of the
    ground truth, so the result is exactly that of one process. Predictions for images without ground truth do not
    count. ``workers``: processes, by default one per core; 0 uses this process. ``progress`` is called with the number
    of images; what it yields is called after each image.

    ``UserError`` names the file that is missing or does not fit. If both files name their categories, the names must
    be the same.
    """
    true_annotations, predicted_annotations = CocoAnnotations.read(truth), CocoAnnotations.read(prediction)
    labels, classes = file_classes(true_annotations, things_only=False)
    check_same_categories(true_annotations, predicted_annotations)
    true_maps = _maps(true_annotations, truth_dir or truth.with_suffix(""), classes)
    predicted_maps = _maps(predicted_annotations, prediction_dir or prediction.with_suffix(""), classes)
    missing = [image for image in true_maps if image not in predicted_maps]
    if missing:
        raise UserError(
            f"{prediction}: has no annotation of image {missing[0]}, as of {len(missing)} of the {len(true_maps)} "
            f"images of {truth.name}; expected one per image; predict these images too, with --ids {truth.name} if "
            "ids differ"
        )
    pairs = [(true_map, predicted_maps[image]) for image, true_map in true_maps.items()]
    _check_files([one.path for pair in pairs for one in pair])
    metric = PanopticQuality(labels, boundary_ratio=BOUNDARY_RATIO if boundary else None)
    for matches in map_images(partial(_compare, metric, classes), pairs, workers=workers, progress=progress):
        metric.add_matches(matches)
    return metric.result() | {"kind": "boundary" if boundary else "mask", "images": len(pairs)}


def _maps(annotations: CocoAnnotations, folder: Path, classes: Mapping[int, int]) -> dict[Any, _Map]:
    """The maps of a JSON file by image id, in the order of the file."""
    maps: dict[Any, _Map] = {}
    rows = annotations.parse_rows(_entry, annotations.annotations, "the annotation of image")
    for image, name, segments, areas in rows:
        if image in maps:
            raise UserError(
                f"{annotations.path}: two annotations of image {image}; expected one per image; remove one"
            )
        unknown = [segment for segment in segments if segment[1] not in classes]
        if unknown:
            raise UserError(
                f"{annotations.path}: segment {unknown[0][0]} of image {image} has category {unknown[0][1]}, which "
                "is not among the categories of the ground truth; correct it"
            )
        if leads_out(name):
            raise UserError(
                f"{annotations.path}: the file name {name!r} of image {image} leaves {folder}; expected the name of a "
                "map in it; correct it"
            )
        maps[image] = _Map(image, folder / name, segments, areas)
    if not maps:
        raise UserError(
            f"{annotations.path}: 'annotations' is empty; expected one annotation per image; export it again"
        )
    return maps


def _entry(row: Mapping[str, Any]) -> tuple[Any, str, list[tuple[int, int, bool]], dict[int, int] | None]:
    rows = row["segments_info"]
    segments = [(int(s["id"]), int(s["category_id"]), bool(s.get("iscrowd", 0))) for s in rows]
    has_areas = all("area" in s for s in rows)
    areas = {int(s["id"]): int(s["area"]) for s in rows} if has_areas else None
    ids = [segment_id for segment_id, *_ in segments]
    if len(set(ids)) < len(ids):
        raise ValueError(f"segment {next(i for i in ids if ids.count(i) > 1)} is listed twice")
    hash(row["image_id"])  # a list or a dict is no id
    return row["image_id"], posix_name(row["file_name"]), segments, areas


def _check_files(paths: Sequence[Path]) -> None:
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise UserError(
            f"{missing[0]}: does not exist, like {len(missing)} of {len(paths)} maps; expected a PNG for each "
            "annotation; add it, or check --truth-dir and --prediction-dir"
        )


def _compare(metric: PanopticQuality, classes: Mapping[int, int], pair: tuple[_Map, _Map]) -> SegmentMatches:
    true, predicted = pair
    truth, prediction = read_ids(true.path), read_ids(predicted.path)
    if truth.shape != prediction.shape:
        size, expected = (f"{shape[1]}x{shape[0]}" for shape in (prediction.shape, truth.shape))
        raise UserError(
            f"{predicted.path}: {size}, its ground truth {true.path} is {expected}; expected equal sizes; write the "
            "prediction in the size of the ground truth"
        )
    segments = [
        [Segment(segment_id, classes[category], crowd) for segment_id, category, crowd in one.segments]
        for one in (true, predicted)
    ]
    try:
        return metric.compare(prediction, segments[1], truth, segments[0], areas=true.areas)
    except ValueError as error:
        raise UserError(f"{predicted.path}: {error}; write JSON and PNG again") from None


def read_ids(path: Path) -> NDArray[np.int32]:
    """The ids R + 256 G + 65536 B of a PNG map, int32 [H, W]; ``UserError`` if the file is not an RGB PNG."""
    data = path.read_bytes()
    if not is_png(data) or len(data) < 26 or data[24] != 8 or data[25] not in (_RGB, _RGBA):
        raise UserError(
            f"{path}: is not an 8-bit RGB PNG; expected ids as R + 256 G + 65536 B; write it again in COCO panoptic "
            "format"
        )
    colors = decode_png(data, alpha=True)
    if colors is None:
        colors = cv2.cvtColor(read_image(path), cv2.COLOR_RGB2RGBA)
    # The four bytes of a pixel are one number with red as the lowest byte: much faster than adding three channels.
    ids: NDArray[np.int32] = colors.view("<i4")[..., 0]
    ids &= 0xFFFFFF
    return ids
