"""Average precision (AP) of instance masks or boxes, by pycocotools.

Lin et al.: Microsoft COCO: Common objects in context, ECCV 2014; the rules as the authors' tool applies them.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segwright.data.formats.coco_rows import is_area
from segwright.data.reading.rle import RLE, annotation_to_rle, encode_masks
from segwright.labels import LabelSpace
from segwright.metrics.arrays import Array, check_equal_sizes, to_numpy
from segwright.samples import IGNORED, PredictedSegment, Segment

IouType: TypeAlias = Literal["mask", "box"]
Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Instance:
    """One object, true or predicted.

    ``box``: (x, y, width, height) in pixels. ``area``, in pixels: objects up to 32^2 are small, from 96^2 large, others
    medium. ``score``: confidence 0..1 of a prediction.
    """

    class_index: int
    mask: RLE | None
    box: Box
    area: float
    crowd: bool = False
    score: float = 1.0


class ImageInstances(NamedTuple):
    """The instances of one image; ``image`` is its position in the dataset."""

    image: int
    true: tuple[Instance, ...]
    predicted: tuple[Instance, ...]


@dataclass(slots=True)
class AveragePrecision:
    """Average precision of masks or boxes over the IoU thresholds 0.5, 0.55, ... 0.95, as COCOeval computes it.

    Only things count. Predictions in a crowd are neither right nor wrong. ``iou_type``: compare "mask" or "box".
    ``max_detections``: the predictions with the highest scores that count, per image and class. COCO uses 100; use
    more for images with more objects.
    """

    labels: LabelSpace
    iou_type: IouType = field(default="mask", kw_only=True)
    max_detections: int = field(default=100, kw_only=True)
    state: list[ImageInstances] = field(init=False, default_factory=list)

    def add(
        self,
        prediction: Array,
        predicted_segments: Sequence[PredictedSegment],
        truth: Array,
        true_segments: Sequence[Segment],
        *,
        image: int | None = None,
    ) -> None:
        """Add one image: maps of segment ids [H, W], NumPy arrays or torch tensors, each with its segments.

        ``image``: its position in the dataset, which orders predictions of equal score; default: the number of images
        before it. ``ValueError`` for maps of unequal size, and for segments that do not fit their map.
        """
        predicted_ids, true_ids = to_numpy(prediction), to_numpy(truth)
        check_equal_sizes(predicted_ids, true_ids)
        true = instances_from_map(true_ids, true_segments, self.labels)
        self.add_instances(self._predicted(predicted_ids, predicted_segments), true, image=image)

    def add_with_annotations(
        self,
        prediction: Array,
        predicted_segments: Sequence[PredictedSegment],
        annotations: Iterable[Mapping[str, Any]],
        *,
        image: int | None = None,
    ) -> None:
        """Add one image whose true instances overlap: annotations of a COCO file instead of a map.

        An annotation has category_id (a raw value of the label space), segmentation and iscrowd. ``ValueError`` also
        for a segmentation that cannot be read.
        """
        predicted_ids = to_numpy(prediction)
        height, width = predicted_ids.shape
        true = instances_from_coco(annotations, (height, width), self.labels)
        self.add_instances(self._predicted(predicted_ids, predicted_segments), true, image=image)

    def add_instances(
        self, predicted: Iterable[Instance], true: Iterable[Instance], *, image: int | None = None
    ) -> None:
        """Add one image from instances; those of stuff classes are left out."""
        things = self.labels.thing_table()
        true, predicted = (
            tuple(instance for instance in instances if things[instance.class_index])
            for instances in (true, predicted)
        )
        unscored = [instance for instance in predicted if instance.score != instance.score]
        if unscored:
            name = self.labels.names[unscored[0].class_index]
            raise ValueError(f"a predicted {name} has no score; expected a score for each thing")
        self.state.append(ImageInstances(len(self.state) if image is None else image, true, predicted))

    def combine(self, other: AveragePrecision | list[ImageInstances]) -> None:
        """Add the images of another object or its ``state``; equal positions keep the order of combining."""
        self.state += other.state if isinstance(other, AveragePrecision) else other

    def result(self) -> dict[str, Any]:
        """{all: {ap, ap50, ap75, ap_small, ap_medium, ap_large, n}, class: {name: {ap, ap50, ap75}}}, fractions 0..1.

        ``n`` is the number of classes in the mean: those that occur in the ground truth. The others are NaN. The
        result also states ``max_detections``, and ``kind``: the type of IoU.
        """
        precision = self._precision()
        all_sizes = precision[..., 0]
        small, medium, large = (_mean(precision[..., area]) for area in (1, 2, 3))
        sizes = {"ap_small": small, "ap_medium": medium, "ap_large": large}
        names = [name for name in self.labels.names if name in self.labels.things]
        return {
            "all": _ap_scores(all_sizes) | sizes | {"n": int((all_sizes[0, 0] > -1).sum())},
            "class": {name: _ap_scores(all_sizes[:, :, k]) for k, name in enumerate(names)},
            "max_detections": self.max_detections,
            "kind": self.iou_type,
        }

    def _predicted(self, ids: NDArray[Any], segments: Sequence[PredictedSegment]) -> list[Instance]:
        instances = instances_from_map(ids, segments, self.labels)
        if not all(instance.area for instance in instances):
            table = self.labels.thing_table()
            things = [segment for segment in segments if table[segment.class_index]]
            empty = next(s for s, instance in zip(things, instances, strict=True) if not instance.area)
            raise ValueError(f"predicted segment {empty.id} has no pixel in the map; expected at least one")
        return instances

    def _precision(self) -> NDArray[np.float64]:
        """[10 IoU thresholds, 101 recall thresholds, things, 4 sizes]; -1 for classes without ground truth."""
        from pycocotools.cocoeval import COCOeval

        images = sorted(self.state, key=lambda entry: entry.image)
        classes = np.flatnonzero(self.labels.thing_table()).tolist()
        true = _rows(((n, one) for n, image in enumerate(images) for one in image.true), self.iou_type)
        predicted = _rows(
            ((n, one) for n, image in enumerate(images) for one in image.predicted),
            self.iou_type,
            predicted=True,
        )
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            evaluation = COCOeval(
                _CocoRows(true, len(images), classes),
                _CocoRows(predicted, len(images), classes),
                "segm" if self.iou_type == "mask" else "bbox",
            )
            evaluation.params.maxDets = [self.max_detections]
            evaluation.evaluate()
            evaluation.accumulate()
        return np.asarray(evaluation.eval["precision"][..., 0])


def instances_from_map(
    ids: NDArray[Any], segments: Sequence[Segment | PredictedSegment], labels: LabelSpace
) -> list[Instance]:
    """The things of a map of segment ids [H, W], in the order of their segments."""
    wrong = [s for s in segments if not 0 <= s.class_index < len(labels)]
    if wrong:
        raise ValueError(
            f"segment {wrong[0].id} has class {wrong[0].class_index}; expected one of the {len(labels)} classes of "
            f"{labels.name!r}"
        )
    table = labels.thing_table()
    things = [segment for segment in segments if table[segment.class_index]]
    thing_ids = [segment.id for segment in things]
    if len(set(thing_ids)) < len(thing_ids):
        duplicate = next(identity for identity in thing_ids if thing_ids.count(identity) > 1)
        raise ValueError(f"segment {duplicate} is listed twice; expected one entry for each id")
    return [
        Instance(
            segment.class_index,
            mask,
            box,
            area,
            crowd=isinstance(segment, Segment) and segment.crowd,
            score=segment.score if isinstance(segment, PredictedSegment) else 1.0,
        )
        for segment, (mask, box, area) in zip(things, _measured(encode_masks(ids, thing_ids)), strict=True)
    ]


def instances_from_coco(
    rows: Iterable[Mapping[str, Any]], size: tuple[int, int], labels: LabelSpace
) -> list[Instance]:
    """The instances of COCO annotations in an image of ``size`` (height, width), without ignored categories.

    ``area``, ``bbox`` and ``score`` of an annotation are used where they are stated.
    """
    rows = list(rows)
    classes = labels.to_classes(np.array([row["category_id"] for row in rows], dtype=np.int64))
    known = [(row, int(c)) for row, c in zip(rows, classes, strict=True) if c != IGNORED]
    return instances_of_classes(known, size)


def instances_of_classes(
    rows: Sequence[tuple[Mapping[str, Any], int]], size: tuple[int, int]
) -> list[Instance]:
    """The instances of pairs (COCO annotation, class index) in an image of ``size`` (height, width)."""
    masks = [annotation_to_rle(row["segmentation"], size) for row, _ in rows]
    instances = []
    for (row, class_index), (mask, box, area) in zip(rows, _measured(masks), strict=True):
        x, y, width, height = row.get("bbox") or box
        crowd, score = bool(row.get("iscrowd", 0)), row.get("score", 1.0)
        stated_area = row["area"] if is_area(row.get("area")) else area
        instances.append(Instance(class_index, mask, (x, y, width, height), stated_area, crowd, score))
    return instances


def _measured(masks: list[RLE]) -> Iterable[tuple[RLE, Box, float]]:
    """Each mask with its box and area."""
    from pycocotools import mask as mask_api

    if not masks:
        return []
    boxes = (tuple(box) for box in mask_api.toBbox(masks).tolist())
    areas = (float(mask_api.area(mask)) for mask in masks)  # one by one: it overflows for more than 255 masks
    return zip(masks, boxes, areas, strict=True)


@dataclass(frozen=True, slots=True)
class _CocoRows:
    """The part of pycocotools' COCO that COCOeval uses: ids of images and classes, and annotations."""

    rows: list[dict[str, Any]]
    images: int
    classes: list[int]

    def getImgIds(self) -> list[int]:
        return list(range(self.images))

    def getCatIds(self) -> list[int]:
        return self.classes

    def getAnnIds(self, imgIds: object, catIds: object) -> range:
        return range(len(self.rows))

    def loadAnns(self, ids: object) -> list[dict[str, Any]]:
        return self.rows

    def annToRLE(self, row: dict[str, Any]) -> RLE:
        rle: RLE = row["segmentation"]
        return rle


def _rows(
    instances: Iterable[tuple[int, Instance]], iou_type: IouType, *, predicted: bool = False
) -> list[dict[str, Any]]:
    """Instances with their image index as annotations. Ids start at 1: to COCOeval 0 means no match.

    The size of a predicted box is that of the box; the size of everything else is its area.
    """
    return [
        {
            "id": number,
            "image_id": image,
            "category_id": instance.class_index,
            "segmentation": instance.mask,
            "bbox": list(instance.box),
            "area": instance.box[2] * instance.box[3] if predicted and iou_type == "box" else instance.area,
            "iscrowd": int(instance.crowd),
            "score": instance.score,
        }
        for number, (image, instance) in enumerate(instances, 1)
    ]


def _ap_scores(precision: NDArray[np.float64]) -> dict[str, float]:
    return {"ap": _mean(precision), "ap50": _mean(precision[0]), "ap75": _mean(precision[5])}


def _mean(precision: NDArray[np.float64]) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else float("nan")
