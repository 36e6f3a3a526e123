from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from scipy import ndimage
from tests import small
from tests.data.coco_trees import image, save, write_ids
from tests.golden import recorded as golden

from segwright.data.datasets.cityscapes import CLASSES
from segwright.data.formats.coco import open_panoptic
from segwright.data.reading.label_maps import pack_rgb, read_map, write_png
from segwright.data.reading.rle import decode_mask, encode_masks
from segwright.errors import UserError
from segwright.evaluation.files.instance import score_cityscapes, score_instances
from segwright.evaluation.files.panoptic import score_panoptic
from segwright.evaluation.files.semantic import score_semantic
from segwright.metrics.average_precision import AveragePrecision
from segwright.metrics.cityscapes_ap import CityscapesAP
from segwright.metrics.panoptic_quality import PanopticQuality
from segwright.prediction.image_ids import image_id, image_ids_in
from segwright.prediction.inputs import InputImage
from segwright.prediction.writers import (
    WRITERS,
    CityscapesWriter,
    InstanceWriter,
    PanopticWriter,
    SemanticWriter,
)
from segwright.samples import PredictedInstance, PredictedSegment, Prediction, Segment

LABELS = small.STREETS
SIZE = (40, 60)
GroundTruth = tuple[np.ndarray, list[Segment]]


def scene(seed: int) -> tuple[Prediction, GroundTruth]:
    """A prediction of blocks of all classes with some void, and its ground truth: the same blocks before a shift."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 9, (4, 5))
    truth = np.kron(blocks, np.ones((10, 12), np.int32)).astype(np.int32)
    kinds = [0, *random.integers(0, 3, 8).tolist()]
    segments = [Segment(i, kinds[i]) for i in np.unique(truth).tolist() if i]
    shifted = np.roll(truth, random.integers(0, 4, 2), (0, 1))
    panoptic = np.full(SIZE, -1, np.int32)
    predicted = []
    for segment in segments:
        own = shifted == segment.id
        label = 1000 * segment.class_index + segment.id * (segment.class_index > 0)
        panoptic[own] = label
        if label not in [p.id for p in predicted]:
            score = float(random.random()) if segment.class_index else float("nan")
            predicted.append(PredictedSegment(label, segment.class_index, 0, score))
    counted = [
        PredictedSegment(p.id, p.class_index, int((panoptic == p.id).sum()), p.score) for p in predicted
    ]
    semantic = np.where(panoptic < 0, 255, panoptic // 1000).astype(np.uint8)
    return Prediction(semantic, panoptic, tuple(counted)), (truth, segments)


NAMES = ("000000000012", "000000000007", "aachen_000001_000019_leftImg8bit")
SCENES = {name: scene(seed) for seed, name in enumerate(NAMES)}


def write_truth(root: Path) -> tuple[Path, Path]:
    """The ground truth of the scenes as COCO panoptic and as COCO instances."""
    categories = [
        {"id": raw, "name": name, "isthing": int(name in LABELS.things)}
        for raw, name in zip(LABELS.raw_values, LABELS.names, strict=True)
    ]
    rows, annotations, images = [], [], []
    for name, (_, (ids, segments)) in SCENES.items():
        write_ids(root / "truth" / f"{name}.png", ids)
        images.append(image(image_id(name), f"{name}.jpg") | {"height": SIZE[0], "width": SIZE[1]})
        infos = []
        for segment in segments:
            mask = ids == segment.id
            row = {"id": segment.id, "category_id": LABELS.raw_values[segment.class_index], "iscrowd": 0}
            row["area"] = int(mask.sum())
            infos.append(row)
            if segment.class_index:
                runs = np.diff([0, *(np.flatnonzero(np.diff(mask.T.ravel())) + 1), mask.size]).tolist()
                runs = [0, *runs] if mask[0, 0] else runs
                shape = {"size": list(SIZE), "counts": runs}
                number = {"id": len(annotations) + 1, "image_id": image_id(name)}
                annotations.append(row | number | {"segmentation": shape, "bbox": [0, 0, 1, 1]})
        rows.append({"image_id": image_id(name), "file_name": f"{name}.png", "segments_info": infos})
    panoptic = {"images": images, "annotations": rows, "categories": categories}
    things = {"images": images, "annotations": annotations, "categories": categories[1:]}
    return save(root / "truth.json", panoptic), save(root / "instances_truth.json", things)


def test_what_is_written_scores_as_what_was_predicted(tmp_path: Path) -> None:
    panoptic, things = write_truth(tmp_path)
    quality, precision = PanopticQuality(LABELS), AveragePrecision(LABELS)
    order = [NAMES[1], NAMES[0], NAMES[2]]  # by their ids
    with (
        PanopticWriter(tmp_path / "out", LABELS) as first,
        InstanceWriter(tmp_path / "out", LABELS) as second,
    ):
        for name, (prediction, (ids, segments)) in SCENES.items():
            first.add(name, prediction)
            second.add(name, prediction)
            assert prediction.panoptic is not None
            pair = prediction.panoptic, prediction.segments, ids, segments
            quality.add(*pair)
            precision.add(*pair, image=order.index(name))
    scores = score_panoptic(panoptic, tmp_path / "out" / "panoptic.json")
    assert (scores.pop("images"), scores.pop("kind")) == (3, "mask")
    assert scores == quality.result()
    assert 0 < scores["all"]["pq"] < 1
    result = score_instances(things, tmp_path / "out" / "instances.json")
    assert result.pop("images") == 3
    expected = precision.result()
    assert {name: repr(value) for name, value in expected.items()}.items() <= {
        name: repr(value) for name, value in result.items()
    }.items()


def test_a_panoptic_map_holds_class_and_instance(tmp_path: Path) -> None:
    prediction, _ = SCENES[NAMES[0]]
    with PanopticWriter(tmp_path, LABELS) as writer:
        writer.add(NAMES[0], prediction)
        assert not (tmp_path / "panoptic.json").exists()
    ids = pack_rgb(read_map(tmp_path / "panoptic" / f"{NAMES[0]}.png", "rgb")[..., ::-1])
    assert (ids - 1 == prediction.panoptic).all()
    values = json.loads((tmp_path / "panoptic.json").read_text())
    (row,) = values["annotations"]
    assert row["image_id"] == 12
    assert {s["id"] for s in row["segments_info"]} == {s.id + 1 for s in prediction.segments}
    assert {s["category_id"] for s in row["segments_info"]} <= {7, 24, 26}
    assert ["score" in s for s in row["segments_info"]] == [s.class_index > 0 for s in prediction.segments]


def test_what_is_written_can_be_read_as_data(tmp_path: Path) -> None:
    with PanopticWriter(tmp_path, LABELS) as writer:
        for name, (prediction, _) in SCENES.items():
            writer.add(name, prediction)
            write_png(tmp_path / "images" / f"{name}.png", np.zeros((*SIZE, 3), np.uint8))
    pairs = open_panoptic(tmp_path / "panoptic.json", tmp_path / "panoptic", tmp_path / "images")
    sample = pairs[0]
    prediction, _ = SCENES[sample.name]
    assert (sample.map == prediction.panoptic + 1).all()
    assert (sample.semantic() == prediction.semantic).all()


def test_void_is_no_road(tmp_path: Path) -> None:
    recorded, arrays = golden.metadata("s5_evaluators"), golden.arrays("s5_evaluators")
    divisor = recorded["label_divisor"]
    panoptic = np.where(arrays["panoptic"] == recorded["void_label"], -1, arrays["panoptic"]).astype(np.int32)
    ids = [i for i in np.unique(panoptic).tolist() if i >= 0]
    segments = tuple(PredictedSegment(i, i // divisor, int((panoptic == i).sum()), 1.0) for i in ids)
    semantic = np.where(panoptic < 0, 255, panoptic // divisor).astype(np.uint8)
    with PanopticWriter(tmp_path, CLASSES) as writer:
        writer.add("x_leftImg8bit", Prediction(semantic, panoptic, segments))
    (row,) = json.loads((tmp_path / "panoptic.json").read_text())["annotations"]
    (expected,) = recorded["predictions"]
    assert (row["image_id"], row["file_name"]) == (expected["image_id"], expected["file_name"])
    # The original wrote void as 0, too, which is its road: all other segments are equal.
    own = {s["id"] - 1: s["category_id"] for s in row["segments_info"]}
    assert own == {s["id"]: s["category_id"] for s in expected["segments_info"] if s["id"] in ids}
    written = pack_rgb(read_map(tmp_path / "panoptic" / "x_leftImg8bit.png", "rgb")[..., ::-1])
    assert (np.where(written > 0, written - 1, 0) == arrays["written_ids"]).all()
    assert ((written == 0) == (panoptic == -1)).all()


def test_pycocotools_loads_the_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, things = write_truth(tmp_path)
    with InstanceWriter(tmp_path, LABELS) as writer:
        for name, (prediction, _) in SCENES.items():
            writer.add(name, prediction)
    loaded = COCO(str(things)).loadRes(str(tmp_path / "instances.json"))
    count = 0
    for name, (prediction, _) in SCENES.items():
        expected = [s for s in prediction.segments if s.class_index]
        rows = loaded.loadAnns(loaded.getAnnIds(imgIds=[image_id(name)]))
        assert [row["score"] for row in rows] == [s.score for s in expected]
        assert [row["area"] for row in rows] == [s.area for s in expected]
        for row, segment in zip(rows, expected, strict=True):
            assert (decode_mask(loaded.annToRLE(row)) == (prediction.panoptic == segment.id)).all()
        count += len(rows)
    assert count == len(json.loads((tmp_path / "instances.json").read_text())) > 5


def test_masks_of_a_discarded_image_are_removed_and_those_of_others_stay(tmp_path: Path) -> None:
    writer = CityscapesWriter(tmp_path, LABELS)
    for name in ("a", "a_1", "b[1]"):
        writer.add(name, scene(0)[0])
    masks = {path.name for path in (tmp_path / "cityscapes" / "masks").iterdir()}
    writer.discard("a")
    writer.discard("b[1]")
    left = {path.name for path in (tmp_path / "cityscapes").rglob("*.*")}
    assert left == {"a_1.txt", *(name for name in masks if name.startswith("a_1_"))} and len(left) > 1


def test_instances_of_cityscapes_score_as_what_was_predicted(tmp_path: Path) -> None:
    prediction, (ids, segments) = SCENES[NAMES[2]]
    raw = np.zeros(SIZE, np.uint16)
    for segment in segments:
        value = LABELS.raw_values[segment.class_index]
        raw[ids == segment.id] = value * 1000 + segment.id if segment.class_index else value
    write_png(tmp_path / "gt" / "aachen_000001_000019_gtFine_instanceIds.png", raw)
    with CityscapesWriter(tmp_path / "out", LABELS) as writer:
        writer.add(NAMES[2], prediction)
    metric = CityscapesAP(LABELS)
    assert prediction.panoptic is not None
    metric.add(prediction.panoptic, prediction.segments, ids, segments)
    result = score_cityscapes(tmp_path / "gt", tmp_path / "out" / "cityscapes", labels=LABELS)
    assert result.pop("images") == 1
    assert repr(result) == repr(metric.result())
    assert result["all"]["n"] > 0


def overlapping(name: str) -> Prediction:
    """The things of a scene, each grown by some pixels, so that they overlap; the map holds the top ones only."""
    prediction, _ = SCENES[name]
    assert prediction.panoptic is not None
    objects = []
    for segment in prediction.segments:
        if segment.class_index:
            grown = ndimage.binary_dilation(prediction.panoptic == segment.id, iterations=3)
            (mask,) = encode_masks(grown.astype(np.int32), [1])
            objects.append(PredictedInstance(segment.class_index, mask, int(grown.sum()), segment.score))
    return replace(prediction, instances=tuple(sorted(objects, key=lambda one: -one.score)))


def test_overlapping_instances_score_whole_in_every_format(tmp_path: Path) -> None:
    """``evaluate`` and the scores of the written files agree; the maps alone would give other scores."""
    _, things = write_truth(tmp_path)
    precision, of_maps, cityscapes = AveragePrecision(LABELS), AveragePrecision(LABELS), CityscapesAP(LABELS)
    order = [NAMES[1], NAMES[0], NAMES[2]]
    with (
        InstanceWriter(tmp_path / "out", LABELS) as first,
        CityscapesWriter(tmp_path / "out", LABELS) as second,
    ):
        for name, (_, truth) in SCENES.items():
            prediction = overlapping(name)
            first.add(name, prediction)
            precision.add_prediction(prediction, *truth, image=order.index(name))
            plain = replace(prediction, instances=None)
            of_maps.add_prediction(plain, *truth, image=order.index(name))
        second.add(NAMES[2], overlapping(NAMES[2]))
        ids, segments = SCENES[NAMES[2]][1]
        cityscapes.add_prediction(overlapping(NAMES[2]), ids, segments)
    raw = np.zeros(SIZE, np.uint16)
    for segment in segments:
        value = LABELS.raw_values[segment.class_index]
        raw[ids == segment.id] = value * 1000 + segment.id if segment.class_index else value
    write_png(tmp_path / "gt" / "aachen_000001_000019_gtFine_instanceIds.png", raw)
    scores = score_instances(things, tmp_path / "out" / "instances.json")
    assert repr(scores["all"]) == repr(precision.result()["all"]) != repr(of_maps.result()["all"])
    result = score_cityscapes(tmp_path / "gt", tmp_path / "out" / "cityscapes", labels=LABELS)
    assert repr(result["all"]) == repr(cityscapes.result()["all"])


def test_class_maps_are_written_in_raw_values(tmp_path: Path) -> None:
    with SemanticWriter(tmp_path, LABELS) as writer:
        for name, (prediction, (ids, segments)) in SCENES.items():
            writer.add(name, prediction)
            truth = np.zeros(SIZE, np.uint8)
            for segment in segments:
                truth[ids == segment.id] = LABELS.raw_values[segment.class_index]
            write_png(tmp_path / "truth" / f"{name}.png", truth)
    assert set(np.unique(read_map(tmp_path / "semantic" / f"{NAMES[0]}.png"))) <= {0, 7, 24, 26}
    assert 0 < score_semantic(tmp_path / "truth", tmp_path / "semantic", LABELS)["miou"] < 1


def test_formats_by_name_share_a_folder(tmp_path: Path) -> None:
    prediction, _ = SCENES[NAMES[1]]
    for writer_of in WRITERS.values():
        with writer_of(tmp_path, LABELS, image_id) as writer:
            writer.add("a", prediction)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"panoptic.json", "panoptic", "instances.json", "cityscapes", "semantic", "table.csv"}


def test_ids_of_images_are_those_of_the_ground_truth(tmp_path: Path) -> None:
    assert [image_id(name) for name in NAMES] == [12, 7, "aachen_000001_000019"]
    panoptic, _ = write_truth(tmp_path)
    first, second, unknown = (InputImage(Path(f"{name}.png"), name) for name in (*NAMES[:2], "b"))
    assert image_ids_in(panoptic, [first]) == {NAMES[0]: 12}
    with pytest.raises(UserError, match=r"truth\.json: contains no image b"):
        image_ids_in(panoptic, [first, unknown])
    values = json.loads(panoptic.read_text())
    del values["images"]  # the names of the maps then
    assert image_ids_in(save(panoptic, values), [second]) == {NAMES[1]: 7}


def test_nothing_is_closed_where_something_went_wrong(tmp_path: Path) -> None:
    with pytest.raises(KeyError), PanopticWriter(tmp_path, LABELS) as writer:
        writer.add(NAMES[0], SCENES[NAMES[0]][0])
        raise KeyError
    assert not (tmp_path / "panoptic.json").exists()


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    classes = Prediction(np.zeros((3, 3), np.uint8))
    prediction, _ = SCENES[NAMES[0]]
    unsure = Prediction(
        classes.semantic, np.full((3, 3), 1001, np.int32), (PredictedSegment(1001, 1, 9, float("nan")),)
    )
    large = Prediction(classes.semantic, np.full((3, 3), 1 << 24, np.int32), ())
    for writer, name, impossible, message in (
        (PanopticWriter(tmp_path, LABELS), "a", classes, "a: the model predicts only classes"),
        (InstanceWriter(tmp_path, LABELS), "a", unsure, "a: segment 1001 has no score"),
        (
            PanopticWriter(tmp_path, LABELS),
            "a",
            large,
            "a: a segment has id 16777217; expected at most 16777215",
        ),
        (CityscapesWriter(tmp_path, LABELS), "a b", prediction, "a b: contains a space"),
    ):
        with pytest.raises(UserError, match=message):
            writer.add(name, impossible)
    twice = PanopticWriter(tmp_path, LABELS)
    twice.add("7", prediction)
    with pytest.raises(UserError, match="007: a second image with id 7"):
        twice.add("007", prediction)
