"""Every figure equals that of cityscapesScripts, to the last bit. It does not run with the newest NumPy, so it has a
Python of its own: SEGWRIGHT_CITYSCAPES_PYTHON=.../bin/python, with ``pip install cityscapesscripts "numpy<2.3"``."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segwright.data.datasets.cityscapes import CLASSES, TRAIN_ID_CLASSES
from segwright.data.reading.label_maps import read_map, write_png
from segwright.evaluation.files.semantic import score_semantic

SCRIPT = """
import glob, json, os, sys
root, out = sys.argv[1:]
os.environ["CITYSCAPES_RESULTS"] = root + "/results"
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official
args = official.args
args.quiet, args.JSONOutput = True, False
truth = sorted(glob.glob(root + "/gtFine/*_labelIds.png"))
pairs = [official.getPrediction(args, path) for path in truth]
json.dump(official.evaluateImgLists(pairs, truth, args), open(out, "w"))
"""
KEYS = {
    "class_iou": "classScores", "class_iiou": "classInstScores", "category_iou": "categoryScores",
    "category_iiou": "categoryInstScores", "class_prior": "priors",
}  # fmt: skip
MEANS = {
    "mean_iou": "averageScoreClasses", "mean_iiou": "averageScoreInstClasses",
    "mean_category_iou": "averageScoreCategories", "mean_category_iiou": "averageScoreInstCategories",
}  # fmt: skip


@pytest.fixture
def official_python() -> str:
    path = os.environ.get("SEGWRIGHT_CITYSCAPES_PYTHON")
    if path is None:
        pytest.skip("SEGWRIGHT_CITYSCAPES_PYTHON names no Python with cityscapesscripts and numpy<2.3")
    return path


def write_case(root: Path, number: int, maps: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]) -> None:
    frame = f"town_{number:06}_000019"
    classes, instances, prediction = maps
    write_png(root / "gtFine" / f"{frame}_gtFine_labelIds.png", classes.astype(np.uint8))
    write_png(root / "gtFine" / f"{frame}_gtFine_instanceIds.png", instances.astype(np.uint16))
    write_png(root / "results" / f"{frame}_leftImg8bit.png", prediction.astype(np.uint8))


def noisy(classes: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """A prediction: shifted, with blocks and pixels of random labels, some of them ignored ones."""
    prediction = np.roll(classes, random.integers(-4, 5, 2), (0, 1)).copy()
    height, width = classes.shape
    for _ in range(8):
        y, x = random.integers(height), random.integers(width)
        prediction[y : y + height // 6, x : x + width // 6] = random.integers(0, 34)
    wrong = random.random(classes.shape) < 0.05
    prediction[wrong] = random.integers(0, 34, wrong.sum())
    return prediction


def random_case(random: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Boxes of all labels; things are instances or groups, and some instances disagree with the class map."""
    classes = np.full(random.integers(20, 60, 2), random.integers(0, 34), np.int64)
    instances = classes.copy()
    for number in range(25):
        y, x, h, w = random.integers(1, 25, 4)
        label, box = random.integers(0, 34), (slice(y, y + h), slice(x, x + w))
        classes[box] = label
        is_instance = 24 <= label <= 33 and random.random() < 0.8
        instances[box] = label * 1000 + number if is_instance else label
        if random.random() < 0.1:
            classes[box] = random.integers(0, 34)
    return classes, instances, noisy(classes, random)


def compare(root: Path, python: str) -> None:
    out = root / "official.json"
    subprocess.run([python, "-c", SCRIPT, str(root), str(out)], check=True, capture_output=True)
    official = json.loads(out.read_text())
    scores = score_semantic(root / "gtFine", root / "results", CLASSES)
    assert np.array_equal(np.array(scores["label_confusion"]["counts"])[:34, :34], official["confMatrix"])
    for ours, theirs in KEYS.items():
        for name, value in official[theirs].items():
            own = scores[ours].get(name, math.nan)
            assert own == value or (math.isnan(own) and math.isnan(value)), (ours, name, own, value)
    for ours, theirs in MEANS.items():
        assert scores[ours] == official[theirs], ours


@pytest.mark.parametrize("seed", range(4))
def test_random_maps_score_as_in_cityscapes_scripts(official_python: str, tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    for number in range(12):
        write_case(tmp_path, number, random_case(random))
    compare(tmp_path, official_python)


@pytest.mark.parametrize("seed", range(2))
def test_real_scenes_score_as_in_cityscapes_scripts(
    official_python: str, shared: Path, tmp_path: Path, seed: int
) -> None:
    random = np.random.default_rng(seed)
    to_id = np.append(np.array(CLASSES.raw_values), np.zeros(256 - len(CLASSES), np.int64))
    things = TRAIN_ID_CLASSES.thing_table()
    for number, path in enumerate(sorted((shared / "data/kitti_step_sample/panoptic").rglob("*.png"))):
        raw = read_map(path, "rgb").astype(np.int64)
        classes, track = to_id[raw[..., 0]], raw[..., 1] * 256 + raw[..., 2]
        is_instance = things[raw[..., 0]] & (track > 0)
        instances = np.where(is_instance, classes * 1000 + track % 1000, classes)
        write_case(tmp_path, number, (classes, instances, noisy(classes, random)))
    compare(tmp_path, official_python)


def test_scenes_without_tracks_score_as_in_cityscapes_scripts(
    official_python: str, camvid: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(5)
    to_id = np.array([23, 11, 17, 7, 8, 21, 20, 13, 26, 24, 33, 0])
    for number, path in enumerate(sorted((camvid / "valannot").glob("*.png"))[:20]):
        classes = to_id[read_map(path)]
        instances = classes.copy()
        for label in (24, 26, 33):
            _, parts = cv2.connectedComponents((classes == label).astype(np.uint8))
            instances = np.where(parts > 0, label * 1000 + parts, instances)
        write_case(tmp_path, number, (classes, instances, noisy(classes, random)))
    compare(tmp_path, official_python)
