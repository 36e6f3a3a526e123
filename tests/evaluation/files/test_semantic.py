from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.golden import recorded as golden

from segwright.data.datasets.camvid import CLASSES as CAMVID
from segwright.data.datasets.cityscapes import CLASSES
from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError
from segwright.evaluation.files.semantic import score_semantic
from segwright.labels import LabelSpace

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
    with pytest.raises(UserError, match=r"1\.png: 0 predictions have this name"):
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
    with pytest.raises(UserError, match=r"y/1\.png: value 99 is not in label space 'three'"):
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
