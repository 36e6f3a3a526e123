from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tests.data.coco_trees import CATEGORIES, SIZE, SQUARE, image, outline, read, save

from segwright.data.datasets.cityscapes import CLASSES
from segwright.data.formats.ground_truth import EncodedInstanceMaps
from segwright.data.formats.instance_encoding import ClassTimesDivisor
from segwright.data.reading.label_maps import write_png
from segwright.errors import UserError
from segwright.evaluation.files.instance import score_cityscapes, score_instances
from segwright.metrics.cityscapes_ap import CityscapesAP
from segwright.samples import PredictedSegment

NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


@pytest.fixture
def coco100(shared: Path) -> Path:
    folder = shared / "data" / "coco100"
    if not folder.is_dir():
        pytest.skip(f"no COCO-100 at {folder}")
    return folder


@pytest.mark.parametrize(
    ("kind", "results", "figures"),
    [
        ("mask", "segm", (0.319545, 0.562288, 0.298927, 0.387374, 0.310183, 0.326934)),
        ("box", "bbox", (0.504581, 0.696973, 0.572982, 0.585626, 0.519400, 0.501398)),
    ],
)
def test_coco_scores_equal_those_of_pycocotools(
    coco100: Path, kind: Any, results: str, figures: tuple[float, ...]
) -> None:
    truth = coco100 / "instances_val2014_100.json"
    prediction = coco100 / f"instances_val2014_fake{results}100_results.json"
    result = score_instances(truth, prediction, kind=kind)
    assert [result["all"][name] for name in NAMES] == pytest.approx(figures, abs=5e-7)
    assert result["images"] == 100
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(truth))
        evaluation = COCOeval(known, known.loadRes(str(prediction)), results)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert [result["all"][name] for name in NAMES] == evaluation.stats[:6].tolist()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    for index, category in enumerate(known.loadCats(known.getCatIds())):
        own = precision[:, :, index]
        wanted = own[own > -1].mean() if (own > -1).any() else math.nan
        assert result["class"][category["name"]]["ap"] == pytest.approx(wanted, abs=0, nan_ok=True)


def files(root: Path) -> tuple[Path, Path]:
    """Two images; the square in the first and a crowd in the second are predicted."""
    crowd = {"size": list(SIZE), "counts": [0, SIZE[0] * 4, SIZE[0] * (SIZE[1] - 4)]}
    truth = {
        "images": [image(10, "a.jpg"), image(11, "b.jpg")],
        "annotations": [
            outline(0, 10),
            outline(1, 11, 9, crowd, crowd=1),
            outline(2, 11, 9, [[8, 0, 12, 0, 12, 5]]),
        ],
        "categories": CATEGORIES,
    }
    rows = [
        {"image_id": 10, "category_id": 5, "segmentation": [SQUARE], "bbox": [2, 2, 6, 6], "score": 0.9},
        {"image_id": 11, "category_id": 9, "segmentation": crowd, "bbox": [0, 0, 4, 12], "score": 0.8},
    ]
    return save(root / "truth.json", truth), save(root / "results.json", rows)


def test_an_annotation_with_id_zero_can_be_matched(tmp_path: Path) -> None:
    result = score_instances(*files(tmp_path))
    assert result["class"]["car"]["ap"] == pytest.approx(1)
    assert result["class"]["person"]["ap"] == 0
    assert math.isnan(result["class"]["road"]["ap"])
    assert score_instances(*files(tmp_path), kind="box")["class"]["car"]["ap"] == pytest.approx(1)


def test_the_area_of_a_mask_is_that_of_its_pixels_despite_a_box(tmp_path: Path) -> None:
    truth, results = files(tmp_path)
    rows = read(results)
    rows.append(rows[0] | {"segmentation": [[0, 0, 4, 0, 4, 4]], "bbox": [0, 0, 200, 200], "score": 0.95})
    result = score_instances(truth, save(results, rows))
    assert result["class"]["car"]["ap"] == pytest.approx(0.5)
    assert result["all"]["ap_small"] == result["all"]["ap"]


def test_an_empty_results_file_scores_zero(tmp_path: Path) -> None:
    truth, results = files(tmp_path)
    assert score_instances(truth, save(results, []))["all"]["ap"] == 0


def put(**values: Any) -> Callable[[Path], object]:
    """Change the first result."""

    def spoil(root: Path) -> None:
        rows = read(root / "results.json")
        rows[0] = {key: value for key, value in (rows[0] | values).items() if value is not ...}
        save(root / "results.json", rows)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "results.json").unlink(), r"results\.json: cannot be read \(No such file"),
        (lambda root: (root / "results.json").write_text("[{"), r"results\.json: not JSON"),
        (lambda root: save(root / "results.json", {}), r"results\.json: does not contain a list of objects"),
        (lambda root: save(root / "truth.json", []), r"truth\.json: contains a list"),
        (put(image_id=12), r"results\.json: annotation number 1 is of image 12, which is not among"),
        (put(image_id=[1]), r"results\.json: annotation number 1 is of image \[1\]"),
        (
            put(category_id=77),
            r"results\.json: annotation number 1 of image 10 cannot be read \(category 77 is not among",
        ),
        (put(category_id=0), r"category 0 is not among the categories of the ground truth"),
        (put(category_id=...), r"annotation number 1 of image 10 has no 'category_id'"),
        (
            put(score=...),
            r"annotation number 1 of image 10 has no 'score'; expected category_id, segmentation .* and score",
        ),
        (put(score=float("nan")), r"score nan"),
        (put(score="high"), r"image 10 cannot be read"),
        (put(segmentation=...), r"image 10 has no 'segmentation'"),
        (put(segmentation={"size": [5, 5], "counts": [25]}), r"its size is \[5, 5\], the image \[12, 16\]"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_named(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    truth, results = files(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        score_instances(truth, results)
    assert "\n" not in str(caught.value)


def test_images_of_one_id_and_boxes_of_three_numbers_are_named(tmp_path: Path) -> None:
    truth, results = files(tmp_path)
    put(bbox=[1, 2, 3])(tmp_path)
    with pytest.raises(UserError, match="annotation number 1 of image 10 cannot be read"):
        score_instances(truth, results, kind="box")
    values = read(truth)
    values["images"].append(values["images"][0])
    with pytest.raises(UserError, match="two images share an id"):
        score_instances(save(truth, values), results)


# Raw instance ids: road, groups of cars and riders, cars of several sizes, void, a caravan (not scored), a person.
TRUTH = (7, 26, 25, 26000, 26001, 26002, 24001, 0, 4, 29001, 29, 33005)
PREDICTED = (24, 25, 26, 33, 7)
Images = list[tuple[str, np.ndarray, list[tuple[np.ndarray, int, float]]]]


def cityscapes(root: Path, *, seed: int, caravans: bool = True) -> tuple[Path, Path, Images]:
    """Rectangles as ground truth; predictions are parts of them and may overlap."""
    random = np.random.default_rng(seed)
    images: Images = []
    for number in range(4):
        key = f"aachen_{number:06d}_000019"
        truth, masks = np.full((64, 96), 7, np.uint16), []
        for raw in TRUTH:
            if not caravans and raw // 1000 == 29:
                continue
            y, x, height, width = random.integers((0, 0, 6, 6), (50, 80, 26, 30))
            truth[y : y + height, x : x + width] = raw
            if random.random() < 0.8:
                mask = np.zeros(truth.shape, np.uint8)
                dy, dx = random.integers(0, 3, 2)
                mask[y + dy : y + height, x + dx : x + width] = random.integers(1, 256)
                label = raw // 1000 if raw // 1000 in PREDICTED else int(random.choice(PREDICTED))
                masks.append((mask, label, float(random.integers(1, 8) / 8)))
        write_png(root / "gtFine" / "val" / "aachen" / f"{key}_gtFine_instanceIds.png", truth)
        lines = []
        for index, (mask, label, score) in enumerate(masks):
            write_png(root / "found" / "masks" / f"{key}_{index}.png", mask)
            lines.append(f"masks/{key}_{index}.png {label} {score}\n")
        (root / "found" / f"{key}_leftImg8bit.txt").write_text("".join(lines))
        images.append((key, truth, masks))
    return root / "gtFine" / "val", root / "found", images


def test_cityscapes_files_score_like_maps(tmp_path: Path) -> None:
    truth, folder, images = cityscapes(tmp_path, seed=1, caravans=False)
    metric = CityscapesAP(CLASSES)
    for key, raw, masks in images:
        path = truth / "aachen" / f"{key}_gtFine_instanceIds.png"
        ids, segments = EncodedInstanceMaps([path], ClassTimesDivisor(1000, plain_class_ids=True)).read(
            0, CLASSES
        )
        assert segments is not None
        prediction, predicted, kept = np.full(raw.shape, -1, np.int32), [], []
        for index, (mask, label, score) in enumerate(masks):
            prediction[mask > 0] = index  # the later one covers the earlier one
            predicted.append(PredictedSegment(index, CLASSES.raw_values.index(label), 0, score))
        for index, (_, label, score) in enumerate(masks):
            name = f"masks/{key}_{index}.png"
            write_png(folder / name, (prediction == index).astype(np.uint8))
            kept.append(f"{name} {label} {score}\n")
        (folder / f"{key}_leftImg8bit.txt").write_text("".join(kept))
        metric.add(prediction, predicted, ids, segments)
    wanted = metric.result()
    result = score_cityscapes(truth, folder)
    assert result.pop("images") == 4
    assert repr(result) == repr(wanted)
    assert 0 < result["all"]["ap"] < 1


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_cityscapes_scores_equal_those_of_cityscapesscripts(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cityscapesscripts")
    if not hasattr(np, "in1d") or tuple(map(int, np.__version__.split(".")[:2])) >= (2, 3):
        pytest.skip("cityscapesscripts needs numpy < 2.3")
    truth, folder, images = cityscapes(tmp_path, seed=seed)
    from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as tool

    monkeypatch.chdir(tmp_path)  # it writes matches.json here
    settings = {"gtInstancesFile": str(tmp_path / "gt.json"), "predictionPath": str(folder)}
    for name, value in {**settings, "JSONOutput": False, "quiet": True}.items():
        monkeypatch.setattr(tool.args, name, value)
    truths = [str(truth / "aachen" / f"{key}_gtFine_instanceIds.png") for key, *_ in images]
    lists = [str(folder / f"{key}_leftImg8bit.txt") for key, *_ in images]
    averages = tool.evaluateImgLists(lists, truths, tool.args)["averages"]
    result = score_cityscapes(truth, folder)
    assert result["all"]["ap"] == averages["allAp"]
    assert result["all"]["ap50"] == averages["allAp50%"]
    for name, own in averages["classes"].items():
        assert result["class"][name]["ap"] == pytest.approx(own["ap"], abs=0, nan_ok=True)
        assert result["class"][name]["ap50"] == pytest.approx(own["ap50%"], abs=0, nan_ok=True)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: next(folder.glob("*.txt")).unlink(), r"found: 0 lists aachen_00000\d_000019\*\.txt"),
        (lambda folder: (folder / "aachen_000000_000019_b.txt").touch(), "found: 2 lists"),
        (
            lambda folder: next(folder.glob("masks/aachen_000000*")).unlink(),
            "does not exist; expected the mask",
        ),
        (
            lambda folder: write_png(next(folder.glob("masks/aachen_000000*")), np.zeros((3, 3), np.uint8)),
            "3x3; expected 96x64",
        ),
        (
            lambda folder: _append(folder, "a.png 26"),
            r"line \d+ is 'a\.png 26'; expected 'mask\.png label score'",
        ),
        (lambda folder: _append(folder, "a.png 26 sure"), "expected 'mask.png label score'"),
        (lambda folder: _append(folder, "a.png 26 nan"), "expected 'mask.png label score'"),
        (lambda folder: _append(folder, "/a.png 26 1"), "with a path from the list"),
    ],
)
def test_what_is_wrong_with_files_of_cityscapes_is_named(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    truth, folder, _ = cityscapes(tmp_path, seed=0)
    spoil(folder)
    with pytest.raises(UserError, match=message):
        score_cityscapes(truth, folder)


def _append(folder: Path, line: str) -> None:
    with (folder / "aachen_000000_000019_leftImg8bit.txt").open("a") as file:
        file.write(line)


def test_a_folder_without_ground_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file \*_gtFine_instanceIds\.png"):
        score_cityscapes(tmp_path, tmp_path)


def test_results_are_plain_json(tmp_path: Path) -> None:
    json.dumps([score_instances(*files(tmp_path)), score_cityscapes(*cityscapes(tmp_path, seed=0)[:2])])
