"""Average precision of files: COCO annotations and results, and the folders of Cityscapes."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.datasets.cityscapes import CLASSES
from segwright.data.formats.coco import CocoAnnotations
from segwright.data.reading.label_maps import read_map
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.metrics.average_precision import AveragePrecision, Instance, IouType, instances_from_coco
from segwright.metrics.cityscapes_ap import CityscapesAP, InstanceOverlaps
from segwright.parallel import map_in_threads

_TRUTH = "_gtFine_instanceIds.png"
_GROUP = 1000  # below it an instance id of Cityscapes is a class alone
Size = tuple[int, int]
Row = Mapping[str, Any]


def score_instances(
    truth: Path, prediction: Path, *, kind: IouType = "mask", max_detections: int = 100
) -> dict[str, Any]:
    """Average precision of a COCO results file against COCO annotations, as pycocotools computes it.

    All categories count, over all images of the truth. Masks of results are measured by their own pixels even where
    they come with a box. ``UserError`` names what is missing or does not fit.
    """
    about = CocoAnnotations.read(truth)
    space = about.label_space(truth.stem, "instances")
    labels = replace(space, things=space.names, ignored=())
    sizes = _sizes(about, kind)
    real = _by_image(about.annotations, sizes, truth)
    found = _by_image(_results(prediction), sizes, prediction)
    metric = AveragePrecision(labels, iou_type=kind, max_detections=max_detections)
    results = _Side(prediction, labels, kind, found=True)
    annotations = _Side(truth, labels, kind, found=False)
    for place, (image, size) in enumerate(sizes.items()):
        metric.add_instances(
            results.instances(found[image], size), annotations.instances(real[image], size), image=place
        )
    return metric.result() | {"images": len(sizes)}


def _sizes(about: CocoAnnotations, kind: IouType) -> dict[Any, Size]:
    """Image id -> (height, width), in the order of ids, in which pycocotools goes."""
    if kind == "box":
        rows = about.parse_rows(lambda row: (row["id"], (0, 0)), about.images, "image")
    else:
        rows = about.parse_rows(
            lambda row: (row["id"], (int(row["height"]), int(row["width"]))), about.images, "image"
        )
    found = dict(sorted(rows, key=lambda row: (str(type(row[0])), row[0])))
    if len(found) < len(rows):
        raise UserError(f"{about.path}: two images share an id; expected unique ids; correct it")
    return found


def _results(path: Path) -> Sequence[Row]:
    try:
        rows = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a COCO results file") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); write it again") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(
            f"{path}: no list of objects; expected COCO results: image_id, category_id, score, and segmentation or "
            "bbox of each"
        )
    return rows


def _by_image(rows: Sequence[Row], sizes: Mapping[Any, Size], source: Path) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        image = row.get("image_id")
        if isinstance(image, list | dict) or image not in sizes:
            raise UserError(
                f"{source}: an annotation is of image {image}, which is not among 'images' of the truth; expected one "
                "of them; check which truth it belongs to"
            )
        found[image].append(row)
    return found


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two files: its rows as instances. ``found``: rows are results, with a score."""

    source: Path
    labels: LabelSpace
    kind: IouType
    found: bool

    def instances(self, rows: Sequence[Row], size: Size) -> list[Instance]:
        """The instances of an image; ``UserError`` for the first that is none."""
        made: list[Instance] = []
        for row in rows:
            try:
                made += self._instance(row, size)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
                why = f"has no {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
                raise UserError(
                    f"{self.source}: an annotation of image {row['image_id']} {why}; expected category_id, "
                    f"{'segmentation' if self.kind == 'mask' else 'bbox'}{' and score' if self.found else ''} of each; "
                    "correct it"
                ) from None
        return made

    def _instance(self, row: Row, size: Size) -> list[Instance]:
        if self.found and not np.isfinite(row["score"]):
            raise ValueError(f"score {row['score']}")
        if self.kind == "mask":
            # What a result says of its box or area is not believed: it is measured.
            wanted = ("category_id", "segmentation", *(("score",) if self.found else ("iscrowd", "area")))
            return instances_from_coco([{key: row[key] for key in wanted if key in row}], size, self.labels)
        (class_index,) = self.labels.to_classes(np.array([row["category_id"]], dtype=np.int64)).tolist()
        x, y, width, height = (float(side) for side in row["bbox"])
        box, area = (x, y, width, height), width * height
        if self.found:
            return [Instance(class_index, None, box, area, score=row["score"])]
        return [Instance(class_index, None, box, row.get("area", area), bool(row.get("iscrowd", 0)))]


@dataclass(frozen=True, slots=True)
class _Listed:
    """A line of a prediction of Cityscapes."""

    mask: Path
    label: int
    score: float


def score_cityscapes(truth: Path, prediction: Path, *, labels: LabelSpace = CLASSES) -> dict[str, Any]:
    """Average precision of instances in the files of Cityscapes, as cityscapesScripts computes it.

    ``truth``: a folder with ``*_gtFine_instanceIds.png``; ``prediction``: one with a list ``CITY_SEQUENCE_FRAME*.txt``
    for each of them, of lines "mask.png label score". ``UserError`` names what is missing or does not fit.
    """
    maps = sorted(path for path in truth.rglob(f"*{_TRUTH}"))
    if not maps:
        raise UserError(f"{truth}: no file *{_TRUTH}; expected instance ids of Cityscapes; check the folder")
    lists = [
        Path(place, name)
        for place, _, names in os.walk(prediction)
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
    pattern = f"{truth.name.removesuffix(_TRUTH)}*.txt"
    found = [path for path in lists if fnmatch(path.name, pattern)]
    if len(found) != 1:
        raise UserError(
            f"{folder}: {len(found)} lists {pattern} of {truth.name}; expected one; predict the image, or remove the "
            "others"
        )
    return found[0]


def _overlaps(truth: Path, source: Path, labels: LabelSpace) -> InstanceOverlaps:
    """What the masks of a list share with the instances of a map."""
    raw = read_map(truth).astype(np.int64)
    things = dict(zip(labels.raw_values, range(len(labels)), strict=True))
    things = {value: place for value, place in things.items() if labels.names[place] in labels.things}
    area = np.bincount(raw.reshape(-1))
    ids = np.array([i for i in np.flatnonzero(area).tolist() if _label(i) in things], dtype=np.int64)
    # Instances of classes that are not scored are no void to cityscapesScripts, only their groups are.
    void = [value for value in labels.ignored if value < min(len(area), _GROUP)]
    listed = [line for line in _lines(source) if line.label in things]
    pixels = [_inside(line.mask, raw, len(area)) for line in listed]
    table = np.array(pixels, dtype=np.int64).reshape(-1, len(area))
    return InstanceOverlaps(
        intersections=table[:, ids].T,
        void=table[:, void].sum(1),
        truth_area=area[ids],
        prediction_area=table.sum(1),
        truth_class=np.array([things[_label(i)] for i in ids.tolist()], dtype=np.int64),
        prediction_class=np.array([things[line.label] for line in listed], dtype=np.int64),
        groups=ids < _GROUP,
        scores=np.array([line.score for line in listed], dtype=np.float64),
    )


def _label(instance: int) -> int:
    return instance if instance < _GROUP else instance // _GROUP


def _inside(path: Path, raw: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Pixels of each instance id under a mask."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected the mask that a list names; write it again")
    mask = read_map(path)
    if mask.shape != raw.shape:
        raise UserError(
            f"{path}: {mask.shape[1]}x{mask.shape[0]}; expected {raw.shape[1]}x{raw.shape[0]}, as its truth; write it "
            "again"
        )
    return np.bincount(raw[mask != 0], minlength=count)


def _lines(source: Path) -> list[_Listed]:
    found: dict[Path, _Listed] = {}
    for number, line in enumerate(source.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            name, label, score = line.split(" ")
            listed = _Listed(source.parent / name, int(float(label)), float(score))
            if Path(name).is_absolute() or not math.isfinite(listed.score):
                raise ValueError
        except (ValueError, OverflowError):
            raise UserError(
                f"{source}: line {number} is {line!r}; expected 'mask.png label score' with a path from the list; "
                "write it again"
            ) from None
        found[listed.mask] = listed
    return list(found.values())
