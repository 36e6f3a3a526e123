"""``segwright score sequence`` on the files of KITTI-STEP and Cityscapes-DVPS."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from segwright.cli.main import main
from segwright.data.datasets.kitti_step import CLASSES
from segwright.data.formats.sequence_maps import (
    read_dvps_prediction,
    read_kitti_step,
    write_dvps_prediction,
    write_kitti_step,
)
from segwright.errors import UserError
from segwright.evaluation.files import score_sequences
from segwright.metrics import TrackingQuality, VideoPanopticQuality

UNIT = 65536


def _maps(seed: int, frames: int = 4) -> np.ndarray:
    random = np.random.default_rng(seed)
    classes = random.integers(-1, 19, (frames, 4, 5))
    instances = np.where(np.isin(classes, (11, 13)), random.integers(0, 200, classes.shape), 0)
    return np.repeat(np.where(classes < 0, -1, classes * UNIT + instances), 3, 2)


def _write_kitti(folder: Path, seed: int) -> np.ndarray:
    maps = _maps(seed)
    for number, ids in enumerate(maps):
        write_kitti_step(folder / "0002" / f"{number:06}.png", ids, CLASSES)
    return maps


def test_kitti_step_files_are_scored_as_the_metrics_score_their_maps(tmp_path: Path) -> None:
    truth, prediction = _write_kitti(tmp_path / "truth", 0), _write_kitti(tmp_path / "prediction", 1)
    prediction[:2] = truth[:2]
    for number in range(2):
        write_kitti_step(tmp_path / "prediction/0002" / f"{number:06}.png", truth[number], CLASSES)
    stq, vpq = TrackingQuality(CLASSES), VideoPanopticQuality(CLASSES)
    for true, predicted in zip(truth, prediction, strict=True):
        stq.add(predicted, true, "0002")
        vpq.add(predicted, true, "0002")
    for kind, metric in (("stq", stq), ("vpq", vpq)):
        out = tmp_path / f"{kind}.json"
        arguments = ["--truth", str(tmp_path / "truth"), "--prediction", str(tmp_path / "prediction")]
        assert main(["score", "sequence", "--kind", kind, *arguments, "--json", str(out)]) == 0
        scores = json.loads(out.read_text())
        assert scores[kind] == pytest.approx(metric.result()[kind], abs=0)
        assert (scores["format"], scores["frames"], scores["sequences"]) == ("kitti_step", 4, 1)


def test_cityscapes_dvps_names_are_recognized(tmp_path: Path) -> None:
    maps = _maps(3)
    (tmp_path / "truth").mkdir()
    for number, ids in enumerate(maps):
        values = np.where(ids < 0, 32000, ids // UNIT * 1000 + ids % UNIT).astype(np.uint16)
        name = f"000003_{number:06}_munster_000168_000018"
        cv2.imwrite(str(tmp_path / "truth" / f"{name}_gtFine_instanceTrainIds.png"), values)
        cv2.imwrite(str(tmp_path / "truth" / f"{name}_depth.png"), values)
        write_dvps_prediction(tmp_path / "prediction" / f"000003_{number:06}.png", ids, CLASSES)
    scores = score_sequences(tmp_path / "truth", tmp_path / "prediction", "vpq", windows=(1, 4))
    assert (scores["vpq"], scores["format"]) == (1, "cityscapes_dvps")
    assert score_sequences(tmp_path / "truth", tmp_path / "prediction", "stq")["iou"] == 1


@pytest.mark.parametrize(
    ("write", "read"), [(write_kitti_step, read_kitti_step), (write_dvps_prediction, read_dvps_prediction)]
)
def test_written_maps_are_read_back(tmp_path: Path, write, read) -> None:
    ids = _maps(5)[0]
    write(tmp_path / "map.png", ids, CLASSES)
    np.testing.assert_array_equal(read(tmp_path / "map.png", CLASSES), ids)


def test_missing_frames_unequal_sizes_and_unknown_classes_are_named(tmp_path: Path) -> None:
    truth, prediction = tmp_path / "truth", tmp_path / "prediction"
    _write_kitti(truth, 0)
    _write_kitti(prediction, 0)
    last = prediction / "0002" / "000003.png"
    last.unlink()
    with pytest.raises(UserError, match="frame 000003 of sequence 0002"):
        score_sequences(truth, prediction, "stq")
    cv2.imwrite(str(last), np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(UserError, match="3x3, its ground truth"):
        score_sequences(truth, prediction, "stq")
    cv2.imwrite(str(last), np.full((4, 15, 3), 77, np.uint8))
    with pytest.raises(UserError, match="contains class value 77"):
        score_sequences(truth, prediction, "stq")
    with pytest.raises(UserError, match="longest sequence has 4 frames"):
        score_sequences(truth, prediction, "vpq", windows=(5,))


def test_frames_have_no_effect_on_stq(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--truth", str(tmp_path), "--prediction", str(tmp_path), "--frames", "2"]
    assert main(["score", "sequence", "--kind", "stq", *arguments]) == 2
    assert "--frames has no effect" in capsys.readouterr().err
