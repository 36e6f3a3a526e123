"""Average precision (AP) and average recall (AR) of instance masks, their boundaries or boxes, by pycocotools.

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
from segwright.metrics.object_boundaries import BOUNDARY_RATIO, mask_boundary
from segwright.samples import PredictedSegment, Prediction, Segment

IouType: TypeAlias = Literal["mask", "box", "boundary"]
Box: TypeAlias = tuple[float, float, float, float]
_IOU_THRESHOLDS = tuple(f"{0.5 + 0.05 * index:.2f}" for index in range(10))
_SIZES = ("", "_small", "_medium", "_large")  # as COCOeval orders them


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

    Only things count. Predictions in a crowd are neither right nor wrong. ``iou_type``: compare "mask" or "box", or
    "boundary": the IoU of the masks or of their boundaries, whichever is smaller (Cheng et al.: Boundary IoU, CVPR
    2021). ``max_detections``: the predictions with the highest scores that count, per image and class. COCO uses 100;
    use more for images with more objects.
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

    def add_prediction(
        self,
        prediction: Prediction,
        truth: Array,
        true_segments: Sequence[Segment],
        *,
        annotations: Iterable[Mapping[str, Any]] | None = None,
        image: int | None = None,
    ) -> None:
        """Add one image with the objects of ``prediction``: its ``instances``, which may overlap, or its segments.

        ``annotations``: the true objects, where they overlap, too, as annotations of a COCO file: category_id (a raw
        value of the label space), segmentation and iscrowd. See ``add``. ``ValueError`` also for a segmentation that
        cannot be read.
        """
        true_ids = to_numpy(truth)
        if annotations is None:
            true = instances_from_map(true_ids, true_segments, self.labels)
        else:
            true = instances_from_coco(annotations, (true_ids.shape[0], true_ids.shape[1]), self.labels)
        if prediction.instances is not None:
            masks = _measured([instance.mask for instance in prediction.instances])
            predicted = [
                Instance(instance.class_index, mask, box, area, score=instance.score)
                for instance, (mask, box, area) in zip(prediction.instances, masks, strict=True)
            ]
        else:
            assert prediction.panoptic is not None
            check_equal_sizes(prediction.panoptic, true_ids)
            predicted = self._predicted(prediction.panoptic, prediction.segments)
        self.add_instances(predicted, true, image=image)

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

    def result(self, *, curves: bool = False) -> dict[str, Any]:
        """{all: {ap, ap50, ap75, ap_small, ap_medium, ap_large, ar1, ar10, ar100, ar_small, ...}, class: {name: ...}}.

        Fractions 0..1. ``ar1``: the recall, averaged over the IoU thresholds, of the prediction with the highest score
        in each image; likewise ``ar10``, and the one for ``max_detections``, which also counts for ``ar_small`` and
        so on. ``n`` in "all" is the number of classes in the mean: those that occur in the ground truth. The others are
        NaN. The result also states ``max_detections``, and ``kind``: the type of IoU.

        ``curves`` adds ``precision_recall``: {recall: 101 values, class: {name: {IoU threshold: 101 precisions}}} of
        the classes in the mean, with IoU thresholds from "0.50" to "0.95".
        """
        evaluation = self._evaluated()
        precision, recall = evaluation["precision"][..., -1], evaluation["recall"]
        names = [name for name in self.labels.names if name in self.labels.things]
        present = precision[0, 0, :, 0] > -1
        result = {
            "all": self._scores(precision, recall) | {"n": int(present.sum())},
            "class": {
                name: self._scores(precision[:, :, [k]], recall[:, [k]]) for k, name in enumerate(names)
            },
            "max_detections": self.max_detections,
            "kind": self.iou_type,
        }
        if curves:
            classes = {
                names[k]: dict(zip(_IOU_THRESHOLDS, precision[:, :, k, 0].tolist(), strict=True))
                for k in np.flatnonzero(present).tolist()
            }
            result["precision_recall"] = {"recall": evaluation["params"].recThrs.tolist(), "class": classes}
        return result

    def _limits(self) -> list[int]:
        """The numbers of predictions per image and class for which there is an average recall."""
        return [*(limit for limit in (1, 10) if limit < self.max_detections), self.max_detections]

    def _scores(self, precision: NDArray[np.float64], recall: NDArray[np.float64]) -> dict[str, float]:
        """The scores of some classes: precision [IoU, recall, classes, sizes], recall [IoU, classes, sizes, limits]."""
        every_size = precision[..., 0]
        scores = {"ap": _mean(every_size), "ap50": _mean(every_size[0]), "ap75": _mean(every_size[5])}
        scores |= {f"ap{size}": _mean(precision[..., k]) for k, size in enumerate(_SIZES) if size}
        scores |= {f"ar{limit}": _mean(recall[:, :, 0, m]) for m, limit in enumerate(self._limits())}
        return scores | {f"ar{size}": _mean(recall[:, :, k, -1]) for k, size in enumerate(_SIZES) if size}

    def _predicted(self, ids: NDArray[Any], segments: Sequence[PredictedSegment]) -> list[Instance]:
        instances = instances_from_map(ids, segments, self.labels)
        if not all(instance.area for instance in instances):
            table = self.labels.thing_table()
            things = [segment for segment in segments if table[segment.class_index]]
            empty = next(s for s, instance in zip(things, instances, strict=True) if not instance.area)
            raise ValueError(f"predicted segment {empty.id} has no pixel in the map; expected at least one")
        return instances

    def _evaluated(self) -> dict[str, Any]:
        """What COCOeval accumulates; -1 for classes without ground truth.

        ``precision`` [10 IoU thresholds, 101 recall thresholds, things, 4 sizes, limits], ``recall`` the same without
        recall thresholds.
        """
        images = sorted(self.state, key=lambda entry: entry.image)
        classes = np.flatnonzero(self.labels.thing_table()).tolist()
        true = _rows(((n, one) for n, image in enumerate(images) for one in image.true), self.iou_type)
        predicted = _rows(
            ((n, one) for n, image in enumerate(images) for one in image.predicted),
            self.iou_type,
            predicted=True,
        )
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            evaluation = _evaluation_class(self.iou_type)(
                _CocoRows(true, len(images), classes),
                _CocoRows(predicted, len(images), classes),
                "bbox" if self.iou_type == "box" else "segm",
            )
            evaluation.params.maxDets = self._limits()
            evaluation.evaluate()
            evaluation.accumulate()
        results: dict[str, Any] = evaluation.eval
        return results


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
    known = [(row, int(c)) for row, c in zip(rows, classes, strict=True) if c != labels.ignore_index]
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


def _evaluation_class(iou_type: IouType) -> Any:
    """COCOeval, which also compares boundaries if ``iou_type`` says so."""
    from pycocotools import mask as mask_api
    from pycocotools.cocoeval import COCOeval

    class BoundaryEvaluation(COCOeval):  # type: ignore[misc]
        """It uses the smaller one of the IoU of masks and that of boundaries; for crowds that of masks."""

        def computeIoU(self, image: Any, category: Any) -> Any:
            mask_iou = super().computeIoU(image, category)
            true, predicted = self._gts[image, category], self._dts[image, category]
            if not len(mask_iou) or not true or not predicted:
                return mask_iou
            order = np.argsort([-row["score"] for row in predicted], kind="mergesort")
            boundaries = [predicted[index]["boundary"] for index in order[: self.params.maxDets[-1]]]
            crowd = [row["iscrowd"] for row in true]
            boundary_iou = mask_api.iou(boundaries, [row["boundary"] for row in true], crowd)
            return np.where(np.array(crowd) == 1, mask_iou, np.minimum(mask_iou, boundary_iou))

    return BoundaryEvaluation if iou_type == "boundary" else COCOeval


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
        | ({"boundary": _boundary(instance)} if iou_type == "boundary" else {})
        for number, (image, instance) in enumerate(instances, 1)
    ]


def _boundary(instance: Instance) -> RLE:
    assert instance.mask is not None
    return mask_boundary(instance.mask, BOUNDARY_RATIO)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else float("nan")
