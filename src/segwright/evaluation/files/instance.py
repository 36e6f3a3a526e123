"""Average precision of files: COCO annotations and results, and folders in the format of Cityscapes."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.datasets.cityscapes import CLASSES
from segwright.data.formats.coco import CocoAnnotations
from segwright.data.formats.coco_rows import is_area, posix_name
from segwright.data.reading.file_lists import has_hidden_part
from segwright.data.reading.label_maps import read_map
from segwright.data.reading.rle import is_outline
from segwright.errors import UserError
from segwright.evaluation.files.categories import file_classes
from segwright.labels import LabelSpace
from segwright.metrics.average_precision import AveragePrecision, Instance, IouType, instances_of_classes
from segwright.metrics.cityscapes_ap import CityscapesAP, InstanceOverlaps
from segwright.parallel import map_in_threads

_TRUTH = "_gtFine_instanceIds.png"
_GROUP = 1000  # an instance id of Cityscapes below this number is a class: a group of objects, or void
Size = tuple[int, int]
Row = Mapping[str, Any]


def score_instances(
    truth: Path, prediction: Path, *, kind: IouType = "mask", max_detections: int = 100
) -> dict[str, Any]:
    """Average precision of a COCO results file against COCO annotations, as pycocotools computes it.

    ``kind``: IoU of masks or of boxes. All categories and all images of the ground truth count. The area of a predicted
    mask is its number of pixels, also if the file gives a box. ``UserError`` names what is missing or does not fit.
    """
    annotations = CocoAnnotations.read(truth)
    labels, classes = file_classes(annotations, things_only=True)
    sizes = _sizes(annotations, kind)
    true_rows = _by_image(annotations.annotations, sizes, truth)
    predicted_rows = _by_image(_results(prediction), sizes, prediction)
    metric = AveragePrecision(labels, iou_type=kind, max_detections=max_detections)
    true_file = _File(truth, classes, kind, is_prediction=False)
    predicted_file = _File(prediction, classes, kind, is_prediction=True)
    for index, (image, size) in enumerate(sizes.items()):
        predicted = predicted_file.instances(predicted_rows[image], size)
        metric.add_instances(predicted, true_file.instances(true_rows[image], size), image=index)
    return metric.result() | {"images": len(sizes)}


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
        rows = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a COCO results file") from None
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
                fields = "segmentation (polygons [[x, y, ...]] or RLE)" if self.kind == "mask" else "bbox"
                fields += " and score" if self.is_prediction else ""
                raise UserError(
                    f"{self.source}: {_name(number, row)} of image {row['image_id']} {problem}; expected category_id, "
                    f"{fields} of each; correct it"
                ) from None
        return instances

    def _instance(self, row: Row, size: Size) -> list[Instance]:
        if self.is_prediction and not np.isfinite(row["score"]):
            raise ValueError(f"score {row['score']}")
        category = row["category_id"]
        if isinstance(category, list | dict) or category not in self.classes:
            raise ValueError(f"category {category} is not among the categories of the ground truth")
        class_index = self.classes[category]
        if self.kind == "mask":
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


@dataclass(frozen=True, slots=True)
class _PredictionLine:
    """A line of a prediction list in the format of Cityscapes: a mask, its class, its score."""

    mask: Path
    label: int
    score: float


def score_cityscapes(truth: Path, prediction: Path, *, labels: LabelSpace = CLASSES) -> dict[str, Any]:
    """Average precision of instances in the files of Cityscapes, as cityscapesScripts computes it.

    ``truth``: a folder with ``*_gtFine_instanceIds.png``. ``prediction``: a folder with a list
    ``CITY_SEQUENCE_FRAME*.txt`` for each of them, with lines "mask.png label score". ``UserError`` names the file that
    is missing or does not fit.
    """
    maps = sorted(path for path in truth.rglob(f"*{_TRUTH}") if not has_hidden_part(path, truth))
    if not maps:
        raise UserError(f"{truth}: no file *{_TRUTH}; expected instance ids of Cityscapes; check the folder")
    lists = [
        Path(folder, name)
        for folder, _, names in os.walk(prediction)
        for name in names
        if name.endswith(".txt")
    ]
    pairs = [(path, _list_of(path, prediction, lists)) for path in maps]
    metric = CityscapesAP(labels)

    def compare(pair: tuple[Path, Path]) -> InstanceOverlaps:
        return _overlaps(*pair, labels)

    for image in map_in_threads(compare, pairs):
        metric.add_overlaps(image)
    return metric.result() | {"images": len(pairs)}


def _list_of(truth: Path, folder: Path, lists: Sequence[Path]) -> Path:
    prefix = truth.name.removesuffix(_TRUTH)
    matches = [path for path in lists if path.name.startswith(prefix)]
    if len(matches) != 1:
        raise UserError(
            f"{folder}: {len(matches)} lists {prefix}*.txt for {truth.name}; expected one; predict the image, or "
            "remove the others"
        )
    return matches[0]


def _overlaps(truth: Path, source: Path, labels: LabelSpace) -> InstanceOverlaps:
    """The overlaps of the masks of a list with the instances of a map."""
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
    lines = _lines(source)
    if wrong := [line for line in lines if line.label not in known]:
        raise UserError(
            f"{source}: {wrong[0].mask.name} has label {wrong[0].label}, which is no label of {labels.name}; expected "
            "label ids, such as 26 for car; write it again"
        )
    lines = [line for line in lines if line.label in things]
    pixels = [_pixels_by_id(line.mask, raw, len(area)) for line in lines]
    table = np.array(pixels, dtype=np.int64).reshape(-1, len(area))
    return InstanceOverlaps(
        intersections=table[:, ids].T,
        void=table[:, void].sum(1),
        truth_area=area[ids],
        prediction_area=table.sum(1),
        truth_class=np.array([things[_label(i)] for i in ids.tolist()], dtype=np.int64),
        prediction_class=np.array([things[line.label] for line in lines], dtype=np.int64),
        groups=ids < _GROUP,
        scores=np.array([line.score for line in lines], dtype=np.float64),
    )


def _label(instance: int) -> int:
    return instance if instance < _GROUP else instance // _GROUP


def _pixels_by_id(path: Path, raw: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The number of pixels of each instance id inside a mask."""
    if not path.is_file():
        raise UserError(f"{path}: does not exist; expected the mask that a list names; write it again")
    mask = read_map(path)
    if mask.shape != raw.shape:
        raise UserError(
            f"{path}: {mask.shape[1]}x{mask.shape[0]}; expected {raw.shape[1]}x{raw.shape[0]}, the size of its ground "
            "truth; write it again"
        )
    return np.bincount(raw[mask != 0], minlength=count)


def _lines(source: Path) -> list[_PredictionLine]:
    """The lines of a prediction list; of several lines with one mask, the last one counts."""
    by_mask: dict[Path, _PredictionLine] = {}
    for number, line in enumerate(source.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            name, label, score = posix_name(line).split(" ")
            prediction = _PredictionLine(source.parent / name, int(float(label)), float(score))
            if Path(name).is_absolute() or not math.isfinite(prediction.score):
                raise ValueError
        except (ValueError, OverflowError):
            raise UserError(
                f"{source}: line {number} is {line!r}; expected 'mask.png label score' with a path from the list; "
                "write it again"
            ) from None
        by_mask[prediction.mask] = prediction
    return list(by_mask.values())
