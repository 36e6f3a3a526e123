"""Average precision of instances, by pycocotools.

Lin et al.: Microsoft COCO: Common objects in context, ECCV 2014; the rules as its authors' tool applies them.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.rle import RunLengths, encode, from_annotation
from segwright.labels import LabelSpace
from segwright.samples import IGNORED, PredictedSegment, Segment

Kind = Literal["mask", "box"]


@dataclass(frozen=True, slots=True)
class Instance:
    """One object: what two are compared by.

    ``box``: (x, y, width, height) in pixels; ``area``, in pixels, says whether it is small (up to 32^2), large (from
    96^2) or medium.
    """

    class_index: int
    mask: RunLengths | None
    box: tuple[float, float, float, float]
    area: float
    crowd: bool = False
    score: float = 1.0


State = list[tuple[int, tuple[Instance, ...], tuple[Instance, ...]]]
"""Of each image: its place in the data set, its true instances, those found."""


@dataclass(slots=True)
class AveragePrecision:
    """Average precision of masks or boxes, over IoU 0.5, 0.55, ... 0.95, as COCOeval computes it.

    Only things count. A prediction in a crowd is forgotten. Of each image and class the ``max_detections`` surest
    predictions are looked at: 100 in COCO; more where images hold more.
    """

    labels: LabelSpace
    kind: Kind = field(default="mask", kw_only=True)
    max_detections: int = field(default=100, kw_only=True)
    state: State = field(init=False, default_factory=list)

    def add(
        self,
        prediction: NDArray[Any],
        predicted: Sequence[PredictedSegment],
        truth: NDArray[Any],
        segments: Sequence[Segment],
        *,
        image: int | None = None,
    ) -> None:
        """Take in one image from maps of ids [H, W] and their segments.

        Equal scores go by the order of the images: ``image`` is its place in the data set, by default the number of
        those before it. ``ValueError`` for maps of unequal size, and for segments that do not correspond.
        """
        if prediction.shape != truth.shape:
            raise ValueError(
                f"prediction is {prediction.shape}, truth is {truth.shape}; expected equal sizes"
            )
        real = instances(truth, segments, self.labels)
        self.add_instances(self._found(prediction, predicted), real, image=image)

    def add_annotated(
        self,
        prediction: NDArray[Any],
        predicted: Sequence[PredictedSegment],
        annotations: Iterable[Mapping[str, Any]],
        *,
        image: int | None = None,
    ) -> None:
        """Take in one image whose true instances overlap: rows of a COCO file (category_id, segmentation, iscrowd).

        Categories are raw values of the label space. ``ValueError`` also for what is no segmentation.
        """
        height, width = prediction.shape
        real = annotated(annotations, (height, width), self.labels)
        self.add_instances(self._found(prediction, predicted), real, image=image)

    def add_instances(
        self, found: Iterable[Instance], real: Iterable[Instance], *, image: int | None = None
    ) -> None:
        """Take in one image from instances, of which those of stuff are left out."""
        things = self.labels.thing_table()
        kept = [tuple(each for each in of if things[each.class_index]) for of in (real, found)]
        wrong = [each for each in kept[1] if each.score != each.score]
        if wrong:
            name = self.labels.names[wrong[0].class_index]
            raise ValueError(f"a predicted {name} has no score; expected one of each thing")
        self.state.append((len(self.state) if image is None else image, kept[0], kept[1]))

    def combine(self, state: State) -> None:
        """Take in the state of another: equal places are told apart by the order of combining."""
        self.state += state

    def result(self) -> dict[str, Any]:
        """{all: {ap, ap50, ap75, ap_small, ap_medium, ap_large, n}, class: {name: {ap, ap50, ap75}}}, fractions 0..1.

        ``n`` classes are averaged over: those in the truth; others are NaN. ``max_detections`` and ``kind`` are stated.
        """
        precision = self._precision()
        everything = precision[..., 0]
        small, medium, large = (_mean(precision[..., area]) for area in (1, 2, 3))
        sizes = {"ap_small": small, "ap_medium": medium, "ap_large": large}
        names = [name for name in self.labels.names if name in self.labels.things]
        return {
            "all": _over_iou(everything) | sizes | {"n": int((everything[0, 0] > -1).sum())},
            "class": {name: _over_iou(everything[:, :, k]) for k, name in enumerate(names)},
            "max_detections": self.max_detections,
            "kind": self.kind,
        }

    def _found(self, ids: NDArray[Any], segments: Sequence[PredictedSegment]) -> list[Instance]:
        found = instances(ids, segments, self.labels)
        if not all(each.area for each in found):
            things = self.labels.thing_table()
            listed = [segment for segment in segments if things[segment.class_index]]
            empty = next(s for s, each in zip(listed, found, strict=True) if not each.area)
            raise ValueError(f"predicted segment {empty.id} has no pixel in the map; expected at least one")
        return found

    def _precision(self) -> NDArray[np.float64]:
        """[10 IoU, 101 recall, things, 4 sizes]; -1 where there is no truth."""
        from pycocotools.cocoeval import COCOeval

        images = sorted(self.state, key=lambda entry: entry[0])
        classes = np.flatnonzero(self.labels.thing_table()).tolist()
        real = _rows(
            ((n, each) for n, (_, of, _) in enumerate(images) for each in of), self.kind, found=False
        )
        found = _rows(
            ((n, each) for n, (_, _, of) in enumerate(images) for each in of), self.kind, found=True
        )
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            evaluation = COCOeval(
                _Rows(real, len(images), classes),
                _Rows(found, len(images), classes),
                "segm" if self.kind == "mask" else "bbox",
            )
            evaluation.params.maxDets = [self.max_detections]
            evaluation.evaluate()
            evaluation.accumulate()
        return np.asarray(evaluation.eval["precision"][..., 0])


def instances(
    ids: NDArray[Any], segments: Sequence[Segment | PredictedSegment], labels: LabelSpace
) -> list[Instance]:
    """The things of a map of ids [H, W], in the order of their segments."""
    wrong = [s for s in segments if not 0 <= s.class_index < len(labels)]
    if wrong:
        raise ValueError(
            f"segment {wrong[0].id} has class {wrong[0].class_index}; expected one of the {len(labels)} classes of "
            f"{labels.name!r}"
        )
    table = labels.thing_table()
    things = [segment for segment in segments if table[segment.class_index]]
    names = [segment.id for segment in things]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"segment {twice} is listed twice; expected one entry for each id")
    return [
        Instance(
            segment.class_index,
            mask,
            box,
            area,
            crowd=isinstance(segment, Segment) and segment.crowd,
            score=segment.score if isinstance(segment, PredictedSegment) else 1.0,
        )
        for segment, (mask, box, area) in zip(things, _measured(encode(ids, names)), strict=True)
    ]


def annotated(rows: Iterable[Mapping[str, Any]], size: tuple[int, int], labels: LabelSpace) -> list[Instance]:
    """The instances of COCO annotations in an image of ``size`` (height, width); ignored categories are left out.

    ``area``, ``bbox`` and ``score`` of a row are believed where they are stated.
    """
    rows = list(rows)
    classes = labels.to_classes(np.array([row["category_id"] for row in rows], dtype=np.int64))
    known = [(row, int(c)) for row, c in zip(rows, classes, strict=True) if c != IGNORED]
    masks = [from_annotation(row["segmentation"], size) for row, _ in known]
    found = []
    for (row, class_index), (mask, box, area) in zip(known, _measured(masks), strict=True):
        x, y, width, height = row.get("bbox", box)
        crowd, score = bool(row.get("iscrowd", 0)), row.get("score", 1.0)
        stated = row.get("area", area)
        found.append(Instance(class_index, mask, (x, y, width, height), stated, crowd, score))
    return found


def _measured(
    masks: list[RunLengths],
) -> Iterable[tuple[RunLengths, tuple[float, float, float, float], float]]:
    """Each mask with its box and area."""
    from pycocotools import mask as coder

    if not masks:
        return []
    boxes = (tuple(box) for box in coder.toBbox(masks).tolist())
    areas = (float(coder.area(mask)) for mask in masks)  # one by one: a list of more than 255 overflows in it
    return zip(masks, boxes, areas, strict=True)


@dataclass(frozen=True, slots=True)
class _Rows:
    """What COCOeval asks of pycocotools' COCO: ids of images and classes, and rows."""

    rows: list[dict[str, Any]]
    images: int
    classes: list[int]

    def getImgIds(self) -> list[int]:
        return list(range(self.images))

    def getCatIds(self) -> list[int]:
        return self.classes

    def getAnnIds(self, imgIds: Any, catIds: Any) -> range:
        return range(len(self.rows))

    def loadAnns(self, ids: Any) -> list[dict[str, Any]]:
        return self.rows

    def annToRLE(self, row: dict[str, Any]) -> Any:
        return row["segmentation"]


def _rows(instances: Iterable[tuple[int, Instance]], kind: Kind, *, found: bool) -> list[dict[str, Any]]:
    """Instances and their images as COCOeval reads them; its 0 means no match, so they are numbered from 1.

    Boxes that are found count by their own size, everything else by its area.
    """
    return [
        {
            "id": number,
            "image_id": image,
            "category_id": each.class_index,
            "segmentation": each.mask,
            "bbox": list(each.box),
            "area": each.box[2] * each.box[3] if found and kind == "box" else each.area,
            "iscrowd": int(each.crowd),
            "score": each.score,
        }
        for number, (image, each) in enumerate(instances, 1)
    ]


def _over_iou(precision: NDArray[np.float64]) -> dict[str, float]:
    return {"ap": _mean(precision), "ap50": _mean(precision[0]), "ap75": _mean(precision[5])}


def _mean(precision: NDArray[np.float64]) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else float("nan")
