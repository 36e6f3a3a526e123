from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.golden import recorded as golden

from segwright.data.datasets.camvid import CLASSES as CAMVID
from segwright.data.datasets.cityscapes import CLASSES
from segwright.data.formats.file_dataset import apply_label_map
from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError
from segwright.evaluation.files.semantic import score_semantic
from segwright.labels import LabelSpace
from segwright.metrics.boundary import BoundaryIoU, TrimapIoU
from segwright.metrics.instance_iou import CategoryIoU
from segwright.samples import Prediction, Sample

SPACE = LabelSpace("three", ("a", "b", "c"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)), (7, 8, 11), (0,))


def folders(root: Path) -> tuple[Path, Path]:
    write_png(root / "truth" / "x" / "1.png", np.array([[7, 7, 8, 0]], np.uint8))
    write_png(root / "truth" / "y" / "1.png", np.array([[8, 8]], np.uint8))
    write_png(root / "found" / "x" / "1.png", np.array([[7, 8, 8, 8]], np.uint8))
    write_png(root / "found" / "y" / "1.png", np.array([[8, 0]], np.uint8))
    return root / "truth", root / "found"


def test_maps_are_paired_by_name(tmp_path: Path) -> None:
    result = score_semantic(*folders(tmp_path), SPACE)
    assert result["confusion"] == [[1, 1, 0, 0], [0, 2, 0, 1], [0, 0, 0, 0]]  # the last column: no class
    assert result["class_iou"]["a"] == 1 / 2
    assert result["class_iou"]["b"] == 2 / 4
    assert result["images"] == 2
    for path in sorted((tmp_path / "found").rglob("*.png")):
        path.rename(tmp_path / "found" / f"{path.parent.name}.png")
    with pytest.raises(UserError, match=r"1\.png: no prediction has this name"):
        score_semantic(tmp_path / "truth", tmp_path / "found", SPACE)


def test_names_are_enough_if_folders_differ(tmp_path: Path) -> None:
    write_png(tmp_path / "truth" / "city" / "a.png", np.array([[7, 8]], np.uint8))
    write_png(tmp_path / "found" / "a.png", np.array([[7, 8]], np.uint8))
    assert score_semantic(tmp_path / "truth", tmp_path / "found", SPACE)["miou"] == 1
    write_png(tmp_path / "found" / "other" / "a.png", np.array([[7, 8]], np.uint8))
    with pytest.raises(UserError, match=r"a\.png: 2 predictions have this name \("):
        score_semantic(tmp_path / "truth", tmp_path / "found", SPACE)


def test_label_ids_of_cityscapes_find_their_predictions(tmp_path: Path) -> None:
    ids = np.array([[7, 26, 4, 34]], np.uint8)
    city = tmp_path / "gtFine" / "val" / "bonn"
    for ending in ("labelIds", "instanceIds", "labelTrainIds"):
        write_png(city / f"bonn_000000_000019_gtFine_{ending}.png", ids)
    write_png(tmp_path / "found" / "bonn_000000_000019_leftImg8bit.png", np.array([[7, 26, 7, 7]], np.uint8))
    result = score_semantic(tmp_path / "gtFine", tmp_path / "found", CLASSES)
    assert (result["miou"], result["images"]) == (1, 1)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    truth, prediction = folders(tmp_path)
    write_png(prediction / "y" / "1.png", np.array([[8, 8, 8]], np.uint8))
    with pytest.raises(UserError, match=r"y/1\.png: 3x1, its ground truth .* is 2x1"):
        score_semantic(truth, prediction, SPACE)
    write_png(prediction / "y" / "1.png", np.array([[8, 99]], np.uint8))
    with pytest.raises(UserError, match=r"y/1\.png: value 99 is no class of 'three'"):
        score_semantic(truth, prediction, SPACE)
    with pytest.raises(UserError, match="none: no such folder"):
        score_semantic(truth, tmp_path / "none", SPACE)


def test_camvid_scores_as_recorded(camvid: Path, tmp_path: Path) -> None:
    for path in sorted((camvid / "valannot").glob("*.png")):
        rolled = np.roll(read_map(path), (2, -4), (0, 1))
        write_png(tmp_path / path.name, np.where(rolled == 11, 3, rolled).astype(np.uint8))
    result = score_semantic(camvid / "valannot", tmp_path, CAMVID)
    assert result["miou"] == pytest.approx(0.6999769123230796, abs=1e-15)
    assert result["pixel_accuracy"] == pytest.approx(0.9297773330102499, abs=1e-15)
    assert result["class_accuracy"] == pytest.approx(0.7835474377926333, abs=1e-15)
    assert np.sum(result["confusion"]) == 17155529


def test_the_semantic_evaluator_of_panoptic_deeplab_agrees(tmp_path: Path) -> None:
    recorded, arrays = golden.metadata("s5_evaluators"), golden.arrays("s5_evaluators")
    count = recorded["semantic_num_classes"]
    for name in ("gt", "pred"):
        for number in range(3):
            write_png(tmp_path / name / f"{number}.png", arrays[f"sem_{name}_{number}"])
    values = {*np.unique([arrays[f"sem_{n}_{i}"] for n in ("gt", "pred") for i in range(3)]).tolist()}
    ignored = tuple(sorted(values - set(range(count)))) or (255,)
    space = LabelSpace("golden", tuple("abcdefg"), ((0, 0, 0),) * count, tuple(range(count)), ignored)
    result = score_semantic(tmp_path / "gt", tmp_path / "pred", space)
    expected = recorded["semantic_result"]
    assert 100 * result["miou"] == pytest.approx(expected["mIoU"], abs=1e-9)
    assert 100 * result["frequency_weighted_iou"] == pytest.approx(expected["fwIoU"], abs=1e-9)
    assert 100 * result["class_accuracy"] == pytest.approx(expected["mACC"], abs=1e-9)
    assert 100 * result["pixel_accuracy"] == pytest.approx(expected["pACC"], abs=1e-9)


def same(value: float, expected: float) -> bool:
    return value == expected or (np.isnan(value) and np.isnan(expected))


def test_the_scorer_of_the_minicity_tutorial_agrees_to_the_last_bit() -> None:
    folder = golden.DATA / "s4_evaluate_a"
    expected = json.loads((folder / "results.json").read_text())
    scores = score_semantic(folder / "minicity", folder / "results", CLASSES)
    keys = {"class_iou": "classScores", "class_iiou": "classInstScores", "category_iou": "categoryScores"}
    keys |= {"category_iiou": "categoryInstScores", "class_prior": "priors"}
    for ours, theirs in keys.items():
        for name, value in expected[theirs].items():
            assert same(scores[ours].get(name, float("nan")), value), (ours, name)
    assert scores["mean_iou"] == scores["miou"] == expected["averageScoreClasses"]
    assert scores["mean_iiou"] == expected["averageScoreInstClasses"]
    assert scores["mean_category_iou"] == expected["averageScoreCategories"]
    assert scores["mean_category_iiou"] == expected["averageScoreInstCategories"]
    assert scores["pixel_accuracy_with_ignored"] == expected["accuracy"]
    counts = np.array(scores["label_confusion"]["counts"])
    assert np.array_equal(counts[:34, :34], expected["confMatrix"])


def test_the_metrics_of_csail_agree(tmp_path: Path) -> None:
    recorded, arrays = golden.metadata("s2_metrics"), golden.arrays("s2_metrics")
    for number in range(4):
        truth = arrays[f"label_{number}"].astype(np.int64)
        write_png(tmp_path / "truth" / f"{number}.png", np.where(truth < 0, 255, truth).astype(np.uint8))
        write_png(tmp_path / "found" / f"{number}.png", arrays[f"pred_{number}"])
    scores = score_semantic(tmp_path / "truth", tmp_path / "found", LabelSpace.of(*"abcdefg"))
    assert scores["pixel_accuracy"] == pytest.approx(recorded["accuracy"], abs=1e-12)
    assert scores["csail_mean_iou"] == pytest.approx(recorded["mean_iou"], abs=1e-12)
    assert [*scores["class_iou"].values()] == pytest.approx(arrays["iou"].tolist(), abs=1e-12)
    assert scores["csail_overall_score"] == (scores["csail_mean_iou"] + scores["pixel_accuracy"]) / 2
    for row, image in zip(scores["per_image"], recorded["per_image"], strict=True):
        assert row["pixels"] == image["valid"]
        assert row["pixel_accuracy"] == pytest.approx(image["accuracy"], nan_ok=True) or not image["valid"]


LABEL_MAP = """
classes:
  road: {raw: 3, category: ground}
  path: {raw: 4, category: ground}
  car: {raw: 5, thing: true, category: traffic}
ignored: {van: 6, unknown: 0}
categories: {traffic: [van]}
"""


def test_a_label_map_file_names_categories_and_things(tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").write_text(LABEL_MAP)
    labels = apply_label_map(tmp_path / "labels.yaml", None)
    truth = np.array([[3, 4, 5, 5, 5, 5, 5, 5, 0, 6]], np.uint8)
    found = np.array([[4, 4, 5, 3, 5, 6, 5, 5, 3, 3]], np.uint8)
    ids = np.array([[3, 4, 5001, 5001, 5002, 5002, 5002, 5002, 0, 6001]], np.uint16)
    for name, values in (("truth", truth), ("found", found), ("instances", ids)):
        write_png(tmp_path / name / "1.png", values)
    folders = tmp_path / "truth", tmp_path / "found"
    scores = score_semantic(*folders, labels, instances=tmp_path / "instances")
    # Weights 3 / 2 and 3 / 4: instances of 2 and 4 pixels, 3 on average. The van counts as traffic.
    assert scores["class_iiou"]["car"] == (1 * 1.5 + 3 * 0.75) / (2 * 1.5 + 4 * 0.75)
    assert scores["category_iiou"]["traffic"] == (1 * 1.5 + 4 * 0.75) / (2 * 1.5 + 4 * 0.75)
    assert scores["category_iou"] == {"traffic": 4 / 6, "ground": 2 / 3}
    assert np.isnan(scores["class_iiou"]["road"])
    assert scores["class_prior"] == {"road": 0.1, "path": 0.1, "car": 0.6, "van": 0.1, "unknown": 0.1}
    without = score_semantic(*folders, labels)
    assert np.isnan([without["mean_iiou"], *without["class_iiou"].values()]).all()


def test_maps_of_16_bits_and_of_colors_count_alike(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    maps = random.integers(0, 4, (2, 20, 30))
    small = LabelSpace("small", tuple("abc"), ((1, 1, 1),) * 3, (0, 1, 2), (3,))
    colors = [0x010000, 0x000100, 0x000001, 0xFFFFFF]
    rgb = LabelSpace("rgb", tuple("abc"), ((1, 1, 1),) * 3, tuple(colors[:3]), (colors[3],), coding="rgb")
    large = LabelSpace("large", tuple("abc"), ((1, 1, 1),) * 3, (0, 1000, 2000), (3000,))
    results = []
    for space in (small, rgb, large):
        raw = np.array((*space.raw_values, *space.ignored))
        for side, values in zip(("truth", "found"), maps, strict=True):
            value = raw[values]
            if space is rgb:
                value = np.stack([value >> 16, value >> 8 & 255, value & 255], -1)
            dtype = np.uint16 if space is large else np.uint8
            write_png(tmp_path / space.name / side / "1.png", value.astype(dtype))
        results.append(
            score_semantic(tmp_path / space.name / "truth", tmp_path / space.name / "found", space)
        )
    for result in results[1:]:
        assert result["confusion"] == results[0]["confusion"]
        assert result["miou"] == results[0]["miou"]
    write_png(tmp_path / "large" / "found" / "1.png", np.full((20, 30), 4000, np.uint16))
    with pytest.raises(UserError, match=r"found/1\.png: value 4000 is no class of 'large'"):
        score_semantic(tmp_path / "large" / "truth", tmp_path / "large" / "found", large)


def test_metrics_of_recipes_work_on_files_in_any_number_of_processes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(12):
        for side in ("truth", "found"):
            blocks = np.kron(random.integers(0, 4, (4, 5)), np.ones((8, 8)))
            write_png(
                tmp_path / side / f"{number}.png",
                np.array([7, 8, 11, 0])[blocks.astype(int)].astype(np.uint8),
            )
    metrics = (BoundaryIoU(), TrimapIoU((1, 2)), CategoryIoU())
    one, two = (
        score_semantic(tmp_path / "truth", tmp_path / "found", SPACE, metrics=metrics, workers=workers)
        for workers in (0, 2)
    )
    np.testing.assert_equal(one, two)
    assert one["metrics"][:2] == ["boundary_iou", "class_boundary_iou"]
    expected = BoundaryIoU()
    for path in sorted((tmp_path / "truth").iterdir()):
        truth, found = (
            SPACE.to_classes(read_map(tmp_path / side / path.name)) for side in ("truth", "found")
        )
        expected.add(Prediction(found), Sample(np.zeros((*truth.shape, 3), np.uint8), truth, ""), SPACE)
    assert one["class_boundary_iou"] == expected.result()["class_boundary_iou"]
    assert 0 < one["trimap_iou_1"] < 1
    assert all("boundary_iou" in row for row in one["per_image"])
    assert metrics[0].counts is None  # those of the caller stay empty


def test_missing_instance_maps_are_named(tmp_path: Path) -> None:
    for frame in ("a_000000_000019", "a_000000_000020"):
        write_png(tmp_path / "gt" / f"{frame}_gtFine_labelIds.png", np.array([[7, 26]], np.uint8))
        write_png(tmp_path / "found" / f"{frame}.png", np.array([[7, 26]], np.uint8))
    assert np.isnan(score_semantic(tmp_path / "gt", tmp_path / "found", CLASSES)["mean_iiou"])
    ids = tmp_path / "gt" / "a_000000_000019_gtFine_instanceIds.png"
    write_png(ids, np.array([[7, 26001]], np.uint16))
    with pytest.raises(UserError, match=r"000020_gtFine_instanceIds\.png: no such file \(missing for 1 of 2"):
        score_semantic(tmp_path / "gt", tmp_path / "found", CLASSES)
    write_png(tmp_path / "gt" / "a_000000_000020_gtFine_instanceIds.png", np.array([[7]], np.uint16))
    with pytest.raises(UserError, match=r"000020_gtFine_instanceIds\.png: 1x1, its ground truth .* is 2x1"):
        score_semantic(tmp_path / "gt", tmp_path / "found", CLASSES)
