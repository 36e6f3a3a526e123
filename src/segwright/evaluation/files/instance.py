"""Average precision of files: COCO annotations and results, and folders in the format of Cityscapes."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segwright.data.datasets.cityscapes import CLASSES
from segwright.data.formats.coco import CocoAnnotations
from segwright.data.formats.coco_rows import is_area
from segwright.data.reading.file_lists import has_hidden_part
from segwright.data.reading.label_maps import read_map
from segwright.data.reading.rle import is_outline
from segwright.errors import UserError
from segwright.evaluation.files.categories import file_classes
from segwright.evaluation.files.distances import StereoFiles
from segwright.evaluation.files.mask_lists import pixels_by_id, read_mask_list
from segwright.evaluation.files.parallel_images import Progress, map_images
from segwright.files import parse_json
from segwright.labels import LabelSpace
from segwright.metrics.average_precision import AveragePrecision, Instance, IouType, instances_of_classes
from segwright.metrics.cityscapes_ap import CityscapesAP, InstanceOverlaps

_TRUTH = "_gtFine_instanceIds.png"
_NEAR = (100, 50)  # meters
_NEAR_AREA = 1000  # pixels
_GROUP = 1000  # an instance id of Cityscapes below this number is a class: a group of objects, or void
Size = tuple[int, int]
Row = Mapping[str, Any]


def score_instances(
    truth: Path,
    prediction: Path,
    *,
    kind: IouType = "mask",
    max_detections: int = 100,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Average precision of a COCO results file against COCO annotations, as pycocotools computes it.

    ``kind``: IoU of masks, boxes or boundaries (``metrics.average_precision``). All categories and all images of the
    ground truth count. The area of a predicted mask is its number of pixels, also if the file gives a box.
    ``progress`` is called with the number of images; what it yields is called after each image. ``UserError`` names
    what is missing or does not fit.

    The scores are those of ``AveragePrecision.result``, with ``precision_recall``.
    """
    annotations = CocoAnnotations.read(truth)
    labels, classes = file_classes(annotations, things_only=True)
    sizes = _sizes(annotations, kind)
    true_rows = _by_image(annotations.annotations, sizes, truth)
    predicted_rows = _by_image(_results(prediction), sizes, prediction)
    metric = AveragePrecision(labels, iou_type=kind, max_detections=max_detections)
    true_file = _File(truth, classes, kind, is_prediction=False)
    predicted_file = _File(prediction, classes, kind, is_prediction=True)
    with progress(len(sizes)) if progress else nullcontext(lambda: None) as advance:
        for index, (image, size) in enumerate(sizes.items()):
            predicted = predicted_file.instances(predicted_rows[image], size)
            metric.add_instances(predicted, true_file.instances(true_rows[image], size), image=index)
            advance()
    return metric.result(curves=True) | {"images": len(sizes)}


def _sizes(annotations: CocoAnnotations, kind: IouType) -> dict[Any, Size]:
    """Image id -> (height, width), in the order of ids, as pycocotools sorts images."""

    def read(row: Row) -> tuple[Any, Size]:
        return row["id"], (0, 0) if kind == "box" else (int(row["height"]), int(row["width"]))

    rows = annotations.parse_rows(read, annotations.images, "image")
    sizes = dict(sorted(rows, key=lambda row: (str(type(row[0])), row[0])))
    if len(sizes) < len(rows):
        raise UserError(f"{annotations.path}: two images share an id; expected unique ids; correct it")
    return sizes


def _results(path: Path) -> Sequence[Row]:
    try:
        rows = parse_json(path.read_bytes())
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); expected a COCO results file; check the path"
        ) from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); write it again") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(
            f"{path}: does not contain a list of objects; expected COCO results: image_id, category_id, score, and "
            "segmentation or bbox of each"
        )
    return rows


_NumberedRow = tuple[int, Row]  # the number of the row in its list, from 1


def _by_image(rows: Sequence[Row], sizes: Mapping[Any, Size], source: Path) -> dict[Any, list[_NumberedRow]]:
    by_image: dict[Any, list[_NumberedRow]] = defaultdict(list)
    for number, row in enumerate(rows, 1):
        image = row.get("image_id")
        if isinstance(image, list | dict) or image not in sizes:
            raise UserError(
                f"{source}: {_name(number, row)} is of image {image}, which is not among the 'images' of the ground "
                "truth; check that both files belong together"
            )
        by_image[image].append((number, row))
    return by_image


def _name(number: int, row: Row) -> str:
    """How messages call a row: results have no id."""
    return f"annotation {row['id']}" if "id" in row else f"annotation number {number}"


@dataclass(frozen=True, slots=True)
class _File:
    """Reads instances from the rows of one file. ``is_prediction``: rows are results, with a score."""

    source: Path
    classes: Mapping[int, int]
    kind: IouType
    is_prediction: bool

    def instances(self, rows: Sequence[_NumberedRow], size: Size) -> list[Instance]:
        """The instances of an image; ``UserError`` for the first row that cannot be read."""
        instances: list[Instance] = []
        for number, row in rows:
            try:
                instances += self._instance(row, size)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
                problem = f"has no {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
                fields = "segmentation (polygons [[x, y, ...]] or RLE)" if self.kind != "box" else "bbox"
                fields += " and score" if self.is_prediction else ""
                raise UserError(
                    f"{self.source}: {_name(number, row)} of image {row['image_id']} {problem}; expected category_id, "
                    f"{fields} of each; correct it"
                ) from None
        return instances

    def _instance(self, row: Row, size: Size) -> list[Instance]:
        if self.is_prediction and not _is_score(row["score"]):
            raise ValueError(f"score {row['score']!r}")
        category = row["category_id"]
        if isinstance(category, list | dict) or category not in self.classes:
            raise ValueError(f"category {category} is not among the categories of the ground truth")
        class_index = self.classes[category]
        if self.kind != "box":
            if not is_outline(row["segmentation"]):
                raise ValueError("its segmentation has no polygon of three or more points")
            # Box and area of a result are not read but computed from its mask, as pycocotools does.
            names = ("segmentation", *(("score",) if self.is_prediction else ("iscrowd", "area")))
            kept = {name: row[name] for name in names if name in row}
            return instances_of_classes([(kept, class_index)], size)
        x, y, width, height = (float(side) for side in row["bbox"])
        if not all(map(math.isfinite, (x, y, width, height))):
            raise ValueError(f"bbox {row['bbox']}")
        box, area = (x, y, width, height), width * height
        if self.is_prediction:
            return [Instance(class_index, None, box, area, score=row["score"])]
        stated_area = row["area"] if is_area(row.get("area")) else area
        return [Instance(class_index, None, box, stated_area, bool(row.get("iscrowd", 0)))]


def _is_score(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def score_cityscapes(
    truth: Path,
    prediction: Path,
    *,
    labels: LabelSpace = CLASSES,
    disparity: Path | None = None,
    camera: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Average precision of instances in the files of Cityscapes, as cityscapesScripts computes it.

    ``truth``: a folder with ``*_gtFine_instanceIds.png``. ``prediction``: a folder with a list
    ``CITY_SEQUENCE_FRAME*.txt`` for each of them, with lines "mask.png label score". ``disparity`` and ``camera``:
    folders with ``*_disparity.png`` and ``*_camera.json``; with them the result also has ``ap_100m``, ``ap_50m`` and
    ``ap50_50m``, of objects of at least 1000 pixels up to these distances. ``workers``: processes, by default one per
    core; 0 uses this process. ``progress`` is called with the number of images; what it yields is called after each
    image. ``UserError`` names the file that is missing or does not fit.
    """
    maps = sorted(path for path in truth.rglob(f"*{_TRUTH}") if not has_hidden_part(path, truth))
    if not maps:
        raise UserError(f"{truth}: no file *{_TRUTH}; expected instance ids of Cityscapes; check the folder")
    if (disparity is None) != (camera is None):
        raise UserError("distances need both disparity maps and camera files; name both folders, or none")
    stereo = StereoFiles.find(disparity, camera) if disparity is not None and camera is not None else None
    lists = [
        Path(folder, name)
        for folder, _, names in os.walk(prediction)
        for name in names
        if name.endswith(".txt")
    ]
    pairs = [(path, _list_of(path, prediction, lists)) for path in maps]
    metric = CityscapesAP(labels)
    near = {meters: CityscapesAP(labels, _NEAR_AREA, meters) for meters in _NEAR if stereo is not None}
    for image in map_images(partial(_overlaps, labels, stereo), pairs, workers=workers, progress=progress):
        for each in (metric, *near.values()):
            each.add_overlaps(image)
    result = metric.result() | {"images": len(pairs)}
    for meters, each in near.items():
        _add_near(result, each.result(), meters)
    return result


def _add_near(result: dict[str, Any], near: Mapping[str, Any], meters: int) -> None:
    """Add the scores of objects up to a distance to those of all objects."""
    for own, other in (
        (result["all"], near["all"]),
        *((result["class"][name], near["class"][name]) for name in near["class"]),
    ):
        own[f"ap_{meters}m"] = other["ap"]
        if meters == min(_NEAR):
            own[f"ap50_{meters}m"] = other["ap50"]


def _list_of(truth: Path, folder: Path, lists: Sequence[Path]) -> Path:
    prefix = truth.name.removesuffix(_TRUTH)
    matches = [path for path in lists if path.name.startswith(prefix)]
    if len(matches) != 1:
        raise UserError(
            f"{folder}: {len(matches)} lists {prefix}*.txt for {truth.name}; expected one; predict the image, or "
            "remove the others"
        )
    return matches[0]


def _overlaps(labels: LabelSpace, stereo: StereoFiles | None, pair: tuple[Path, Path]) -> InstanceOverlaps:
    """The overlaps of the masks of a list with the instances of a map: (map, list)."""
    truth, source = pair
    raw = read_map(truth).astype(np.int64)
    things = {
        value: index for index, value in enumerate(labels.raw_values) if labels.names[index] in labels.things
    }
    known = {-1, *labels.raw_values, *labels.ignored}
    area = np.bincount(raw.reshape(-1))
    if unknown := [i for i in np.flatnonzero(area).tolist() if _label(i) not in known]:
        raise UserError(
            f"{truth}: contains id {unknown[0]}, and {_label(unknown[0])} is no label of {labels.name}; expected "
            "instance ids of Cityscapes"
        )
    ids = np.array([i for i in np.flatnonzero(area).tolist() if _label(i) in things], dtype=np.int64)
    # For cityscapesScripts, void are the groups of classes that are not scored, but not their single instances.
    void = [value for value in labels.ignored if value < min(len(area), _GROUP)]
    # Of several lines with one mask, the last one counts.
    by_path = {mask.path: mask for mask in read_mask_list(source, lambda text: int(float(text)))}
    if wrong := [mask for mask in by_path.values() if mask.label not in known]:
        raise UserError(
            f"{source}: {wrong[0].path.name} has label {wrong[0].label}, which is no label of {labels.name}; expected "
            "label ids, such as 26 for car; write it again"
        )
    masks = [mask for mask in by_path.values() if mask.label in things]
    table = pixels_by_id(masks, raw, len(area))
    return InstanceOverlaps(
        intersections=table[:, ids].T,
        void=table[:, void].sum(1),
        truth_area=area[ids],
        prediction_area=table.sum(1),
        truth_class=np.array([things[_label(i)] for i in ids.tolist()], dtype=np.int64),
        prediction_class=np.array([things[mask.label] for mask in masks], dtype=np.int64),
        groups=ids < _GROUP,
        scores=np.array([mask.score for mask in masks], dtype=np.float64),
        distance=None if stereo is None else stereo.distances(truth.name.removesuffix(_TRUTH), raw, ids),
    )


def _label(instance: int) -> int:
    return instance if instance < _GROUP else instance // _GROUP
