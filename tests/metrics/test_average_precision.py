from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coder
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segwright.data.reading.rle import decode_mask
from segwright.labels import LabelSpace
from segwright.metrics.average_precision import AveragePrecision, IouType
from segwright.samples import PredictedSegment, Prediction, Segment

LABELS = LabelSpace(
    "streets", ("road", "person", "car", "sky"), ((0, 0, 0),) * 4, (7, 24, 26, 23), (0,), ("person", "car")
)
SIZE = (120, 160)
Image = tuple[np.ndarray, list[PredictedSegment], np.ndarray, list[Segment]]


def scene(seed: int, count: int = 14) -> Image:
    """Rectangles of all classes and sizes, some of them crowds, and predictions of them with errors."""
    random = np.random.default_rng(seed)
    truth, prediction = np.zeros(SIZE, np.int32), np.full(SIZE, -1, np.int32)
    kinds = random.integers(0, 4, count).tolist()
    for number, kind in enumerate(kinds):
        height, width = random.integers(3, 70, 2)
        y, x = random.integers(0, SIZE[0] - 10), random.integers(0, SIZE[1] - 10)
        truth[y : y + height, x : x + width] = 10 * number + 5
        dy, dx = random.integers(0, 4, 2)
        if random.random() < 0.85:
            prediction[y + dy : y + dy + height, x + dx : x + dx + width] = kind * 1000 + number
    visible = set(np.unique(truth).tolist())
    segments = [
        Segment(10 * n + 5, k, crowd=k == 2 and n % 4 == 0)
        for n, k in enumerate(kinds)
        if 10 * n + 5 in visible
    ]
    predicted = []
    for n, k in enumerate(kinds):
        area = int((prediction == k * 1000 + n).sum())
        other = k if random.random() < 0.9 else 3 - k  # predicted as another class
        if area:  # equal scores are frequent
            score = float("nan") if other in (0, 3) else float(random.integers(0, 6) / 5)
            predicted.append(PredictedSegment(k * 1000 + n, other, area, score))
    return prediction, predicted, truth, segments


def official(images: list[Image], kind: IouType, *, most: int = 100) -> COCOeval:
    """pycocotools on masks encoded one by one."""
    rows: dict[str, list[dict[str, Any]]] = {"annotations": [], "results": []}
    for n, (prediction, predicted, truth, segments) in enumerate(images):
        for name, ids, listed in (("annotations", truth, segments), ("results", prediction, predicted)):
            for segment in listed:
                if LABELS.names[segment.class_index] not in LABELS.things:
                    continue
                code = coder.encode(np.asfortranarray(ids == segment.id, dtype=np.uint8))
                row = {"id": len(rows[name]) + 1, "image_id": n, "category_id": segment.class_index + 1}
                row |= {"area": int(coder.area(code)), "iscrowd": int(getattr(segment, "crowd", False))}
                row |= {"score": getattr(segment, "score", None)}
                box = coder.toBbox(code).tolist()
                if name == "annotations" or kind == "box":
                    row["bbox"] = box
                if name == "annotations" or kind == "mask":
                    row["segmentation"] = code
                rows[name].append(row)
    truth_ = COCO()
    truth_.dataset = {
        "images": [{"id": n, "height": SIZE[0], "width": SIZE[1]} for n in range(len(images))],
        "annotations": rows["annotations"],
        "categories": [{"id": i + 1} for i, name in enumerate(LABELS.names) if name in LABELS.things],
    }
    truth_.createIndex()
    evaluation = COCOeval(truth_, truth_.loadRes(rows["results"]), "segm" if kind == "mask" else "bbox")
    evaluation.params.maxDets = [1, 10, most]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


@pytest.mark.parametrize("kind", ["mask", "box"])
def test_it_equals_pycocotools_to_the_last_bit(kind: IouType) -> None:
    images = [scene(seed) for seed in range(8)]
    metric = AveragePrecision(LABELS, iou_type=kind)
    for image in images:
        metric.add(*image)
    evaluation = official(images, kind)
    evaluation.summarize()
    result = metric.result()
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")
    names += ("ar_small", "ar_medium", "ar_large")
    expected = [float("nan") if score == -1 else score for score in evaluation.stats.tolist()]
    assert repr([result["all"][name] for name in names]) == repr(expected)
    assert 0 < result["all"]["ap"] < 1
    precision = evaluation.eval["precision"][:, :, 1, 0, 2]
    assert result["class"]["car"]["ap"] == precision[precision > -1].mean()
    assert result["class"]["car"]["ap50"] == precision[0].mean()
    assert list(result["class"]) == ["person", "car"]
    assert (result["kind"], result["max_detections"], result["all"]["n"]) == (kind, 100, 2)


def test_classes_have_scores_by_size_recall_and_curves() -> None:
    images = [scene(seed) for seed in range(8)]
    metric = AveragePrecision(LABELS)
    for image in images:
        metric.add(*image)
    evaluation, result = official(images, "mask"), metric.result(curves=True)
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    for k, name in enumerate(("person", "car")):
        own = result["class"][name]
        for index, size in enumerate(("", "_small", "_medium", "_large")):
            known = precision[:, :, k, index, 2]
            assert own[f"ap{size}"] == pytest.approx(
                known.mean() if known.max() > -1 else math.nan, abs=0, nan_ok=True
            )
        for index, limit in enumerate((1, 10, 100)):
            assert own[f"ar{limit}"] == recall[:, k, 0, index].mean()
        curves = result["precision_recall"]["class"][name]
        assert list(curves)[::9] == ["0.50", "0.95"]
        assert list(curves.values()) == precision[:, :, k, 0, 2].tolist()
    assert result["precision_recall"]["recall"] == evaluation.params.recThrs.tolist()
    assert "precision_recall" not in metric.result()


@pytest.mark.parametrize(
    ("limit", "names"), [(1, ["ar1"]), (7, ["ar1", "ar7"]), (300, ["ar1", "ar10", "ar300"])]
)
def test_recall_is_that_of_one_ten_and_the_most_detections(limit: int, names: list[str]) -> None:
    metric = AveragePrecision(LABELS, max_detections=limit)
    metric.add(*scene(1))
    found = [name for name in metric.result()["all"] if name.startswith("ar") and "_" not in name]
    assert found == names


def by_boundaries(images: list[Image]) -> float:
    """Boundary AP of cars, one pair of masks at a time, by a plain COCOeval with the IoU put in its place."""

    def boundary(mask: np.ndarray) -> np.ndarray:
        width = max(1, round(0.02 * math.sqrt(mask.shape[0] ** 2 + mask.shape[1] ** 2)))
        inside = np.pad(mask, width)
        for axis in (0, 1):
            inside = np.min([np.roll(inside, shift, axis) for shift in range(-width, width + 1)], axis=0)
        return mask & ~inside[width:-width, width:-width]

    evaluation = official(images, "mask")
    for image in range(len(images)):
        true, predicted = evaluation._gts[image, 3], evaluation._dts[image, 3]
        for d, own in enumerate(sorted(predicted, key=lambda row: -row["score"])):
            for g, other in enumerate(true):
                mask, known = decode_mask(own["segmentation"]), decode_mask(other["segmentation"])
                if not other["iscrowd"]:
                    edges = boundary(mask), boundary(known)
                    edge_iou = (edges[0] & edges[1]).sum() / (edges[0] | edges[1]).sum()
                    iou = (mask & known).sum() / (mask | known).sum()
                    evaluation.ious[image, 3][d][g] = min(iou, edge_iou)
    params = evaluation.params
    evaluation.evalImgs = [
        evaluation.evaluateImg(image, category, area, params.maxDets[-1])
        for category in params.catIds
        for area in params.areaRng
        for image in params.imgIds
    ]
    evaluation.accumulate()
    return float(evaluation.eval["precision"][:, :, 1, 0, 2].mean())


def test_boundary_ap_uses_the_smaller_iou_of_masks_and_boundaries() -> None:
    images = [scene(seed) for seed in range(6)]
    metric, masks = AveragePrecision(LABELS, iou_type="boundary"), AveragePrecision(LABELS)
    for image in images:
        metric.add(*image)
        masks.add(*image)
    result = metric.result()
    assert result["class"]["car"]["ap"] == by_boundaries(images)
    assert 0 < result["class"]["car"]["ap"] < masks.result()["class"]["car"]["ap"]
    assert result["kind"] == "boundary"


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    metric = AveragePrecision(LABELS)
    metric.add(*scene(1))
    metric.result()
    assert capsys.readouterr() == ("", "")


def test_processes_and_their_order_change_nothing() -> None:
    images = [scene(seed) for seed in range(7)]
    alone, together = AveragePrecision(LABELS), AveragePrecision(LABELS)
    processes = [AveragePrecision(LABELS) for _ in range(3)]
    for number, image in enumerate(images):
        alone.add(*image)
        processes[number % 3].add(*image)  # image indices give the order
    for process in processes:
        together.combine(process.state)
    assert repr(together.result()) == repr(alone.result())
    objects = AveragePrecision(LABELS)
    for process in processes:
        objects.combine(process)
    assert repr(objects.result()) == repr(alone.result())
    shuffled = AveragePrecision(LABELS)
    for number in (3, 0, 6, 1, 5, 2, 4):
        shuffled.add(*images[number], image=number)
    assert repr(shuffled.result()) == repr(alone.result())


def test_maps_may_be_tensors() -> None:
    metric, other = AveragePrecision(LABELS), AveragePrecision(LABELS)
    prediction, predicted, truth, segments = scene(3)
    metric.add(prediction, predicted, truth, segments)
    other.add(torch.from_numpy(prediction), predicted, torch.from_numpy(truth), segments)
    assert repr(other.result()) == repr(metric.result())


def test_more_objects_than_coco_counts() -> None:
    count = 150
    ids = np.zeros((15, 40), np.int32)
    ids[::3, :30] = np.arange(count).reshape(5, 30) + 1
    predicted = [PredictedSegment(n + 1, 1, 1, 0.9) for n in range(count)]
    segments = [Segment(n + 1, 1) for n in range(count)]
    results = {}
    for limit in (100, 1000):
        metric = AveragePrecision(LABELS, max_detections=limit)
        metric.add(ids, predicted, ids, segments)
        results[limit] = metric.result()
    assert results[1000]["all"]["ap"] == 1
    assert results[1000]["max_detections"] == 1000
    assert results[100]["all"]["ap"] == pytest.approx(67 / 101)  # recall ends at 100 of 150


def test_predictions_in_a_crowd_are_not_counted_and_a_crowd_is_not_missed() -> None:
    truth = np.zeros((4, 8), np.int32)
    truth[:, :3], truth[:, 3:] = 1, 2
    prediction = np.where(truth == 2, 1005, np.int32(1001))
    prediction[:, 6:] = 1006
    segments = [Segment(1, 1), Segment(2, 1, crowd=True)]
    predicted = [PredictedSegment(i, 1, 1, s) for i, s in ((1001, 0.5), (1005, 0.9), (1006, 0.8))]
    metric = AveragePrecision(LABELS)
    metric.add(prediction, predicted, truth, segments)
    assert metric.result()["class"]["person"]["ap"] == pytest.approx(1)


def test_classes_without_ground_truth_are_nan() -> None:
    nothing = AveragePrecision(LABELS).result()
    assert nothing["all"]["n"] == 0
    assert math.isnan(nothing["all"]["ap"])
    metric = AveragePrecision(LABELS)
    metric.add(np.full((4, 4), -1), [], np.ones((4, 4), np.int32), [Segment(1, 2)])
    result = metric.result()
    assert [result["class"]["car"][name] for name in ("ap", "ap50", "ap75", "ar1", "ar100")] == [0] * 5
    assert math.isnan(result["class"]["person"]["ap"])
    assert result["all"]["ap"] == 0
    assert result["all"]["ap_small"] == 0
    assert math.isnan(result["all"]["ap_large"])


def test_true_objects_may_overlap() -> None:
    square = [[1.0, 1.0, 9.0, 1.0, 9.0, 9.0, 1.0, 9.0]]
    inner = {"size": [12, 12], "counts": [40, 4, 8, 4, 8, 4, 8, 4, 64]}
    rows = [
        {"category_id": 26, "segmentation": square, "iscrowd": 0},
        {"category_id": 24, "segmentation": inner},
        {"category_id": 0, "segmentation": square},  # ignored
        {"category_id": 23, "segmentation": square},  # stuff
    ]
    prediction = np.full((12, 12), -1, np.int32)
    prediction[1:9, 1:9] = 2001
    metric, truth = AveragePrecision(LABELS), np.zeros((12, 12), np.int32)
    segments = (PredictedSegment(2001, 2, 64, 0.7),)
    metric.add_prediction(
        Prediction(truth.astype(np.uint8), prediction, segments), truth, (), annotations=rows
    )
    result = metric.result()
    assert result["class"]["car"]["ap"] == pytest.approx(
        1
    )  # complete, although a map would have a hole in it
    assert result["class"]["person"]["ap"] == 0
    nothing = Prediction(truth.astype(np.uint8), truth)
    with pytest.raises(ValueError, match="its size is"):
        metric.add_prediction(nothing, truth[:3, :3], (), annotations=rows)
    unknown = [{"category_id": 99, "segmentation": square}]
    with pytest.raises(ValueError, match="value 99 is no class of 'streets'"):
        metric.add_prediction(nothing, truth, (), annotations=unknown)


def test_ids_and_segments_that_do_not_fit_are_an_error() -> None:
    ids, segment = np.ones((3, 3), np.int32), PredictedSegment(1, 1, 9, 0.5)
    metric = AveragePrecision(LABELS)
    for prediction, predicted, message in (
        (np.ones((3, 4)), [segment], "expected equal sizes"),
        (ids, [PredictedSegment(2, 1, 9, 0.5)], "predicted segment 2 has no pixel"),
        (
            ids,
            [PredictedSegment(1, 9, 9, 0.5)],
            "segment 1 has class 9; expected one of the 4 classes of 'streets'",
        ),
        (ids, [segment, segment], "segment 1 is listed twice"),
        (ids, [PredictedSegment(1, 1, 9, float("nan"))], "a predicted person has no score"),
    ):
        with pytest.raises(ValueError, match=message):
            metric.add(prediction, predicted, ids, [Segment(1, 1)])
    assert metric.state == []


def test_an_image_may_contain_hundreds_of_objects() -> None:
    labels = LabelSpace("cells", ("cell",), ((0, 0, 0),), (1,), things=("cell",))
    ids = np.kron(np.arange(1, 301).reshape(15, 20), np.ones((4, 4), np.int64)).astype(np.int32)
    real = tuple(Segment(number, 0) for number in range(1, 301))
    predicted = tuple(PredictedSegment(number, 0, 16, 0.5 + number / 1000) for number in range(1, 301))
    for most, recall in ((300, 1.0), (30, 0.1)):
        metric = AveragePrecision(labels, max_detections=most)
        metric.add(ids, predicted, ids, real)
        assert metric.result()["all"]["ap"] == pytest.approx(recall, abs=0.01)
