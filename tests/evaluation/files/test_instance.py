from __future__ import annotations

import contextlib
import io
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tests.data.coco_trees import CATEGORIES, SIZE, SQUARE, image, outline, read, save

from segwright.data.datasets.cityscapes import CLASSES
from segwright.data.formats.ground_truth import EncodedInstanceMaps
from segwright.data.formats.instance_encoding import ClassTimesDivisor
from segwright.data.reading.label_maps import read_map, write_png
from segwright.data.reading.rle import annotation_to_rle, decode_mask, encode_masks
from segwright.errors import UserError
from segwright.evaluation.files.instance import score_cityscapes, score_instances
from segwright.metrics.cityscapes_ap import CityscapesAP, InstanceOverlaps
from segwright.samples import PredictedSegment

NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
RECALL = ("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large")


@pytest.fixture
def coco100(shared: Path) -> Path:
    folder = shared / "data" / "coco100"
    if not folder.is_dir():
        pytest.skip(f"no COCO-100 at {folder}")
    return folder


@pytest.mark.parametrize(
    ("kind", "results", "precision", "recall"),
    [
        (
            "mask",
            "segm",
            (0.319545, 0.562288, 0.298927, 0.387374, 0.310183, 0.326934),
            (0.268230, 0.415449, 0.416839, 0.469450, 0.376759, 0.381472),
        ),
        (
            "box",
            "bbox",
            (0.504581, 0.696973, 0.572982, 0.585626, 0.519400, 0.501398),
            (0.386813, 0.593680, 0.595353, 0.639811, 0.566421, 0.564291),
        ),
    ],
)
def test_coco_scores_equal_those_of_pycocotools(
    coco100: Path, kind: Any, results: str, precision: tuple[float, ...], recall: tuple[float, ...]
) -> None:
    truth = coco100 / "instances_val2014_100.json"
    prediction = coco100 / f"instances_val2014_fake{results}100_results.json"
    result = score_instances(truth, prediction, kind=kind)
    assert [result["all"][name] for name in NAMES] == pytest.approx(precision, abs=5e-7)
    assert [result["all"][name] for name in RECALL] == pytest.approx(recall, abs=5e-7)
    assert result["images"] == 100
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(truth))
        evaluation = COCOeval(known, known.loadRes(str(prediction)), results)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert [result["all"][name] for name in NAMES + RECALL] == evaluation.stats.tolist()
    table = evaluation.eval["precision"][:, :, :, 0, 2]
    for index, category in enumerate(known.loadCats(known.getCatIds())):
        own = table[:, :, index]
        wanted = own[own > -1].mean() if (own > -1).any() else math.nan
        assert result["class"][category["name"]]["ap"] == pytest.approx(wanted, abs=0, nan_ok=True)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", ["mask", "box"])
def test_perturbed_predictions_score_as_with_pycocotools(
    coco100: Path, tmp_path: Path, kind: Any, seed: int
) -> None:
    truth, random = coco100 / "instances_val2014_100.json", np.random.default_rng(seed)
    values = read(truth)
    sizes = {row["id"]: (row["height"], row["width"]) for row in values["images"]}
    categories = [row["id"] for row in values["categories"]]
    rows = []
    for row in values["annotations"][::3]:
        if random.random() < 0.8:
            mask = decode_mask(annotation_to_rle(row["segmentation"], sizes[row["image_id"]]))
            mask = np.roll(mask, random.integers(-4, 5, 2), (0, 1)).astype(np.int32)
            code = encode_masks(mask, [1])[0]
            category = row["category_id"] if random.random() < 0.9 else int(random.choice(categories))
            rows.append({"image_id": row["image_id"], "category_id": category})
            rows[-1]["score"] = float(random.integers(0, 20) / 20)  # equal scores are frequent
            if kind == "mask":
                rows[-1]["segmentation"] = code | {"counts": code["counts"].decode()}
            else:
                rows[-1]["bbox"] = cv2.boundingRect(mask.astype(np.uint8))
    prediction = save(tmp_path / "results.json", rows)
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(truth))
        evaluation = COCOeval(known, known.loadRes(str(prediction)), "segm" if kind == "mask" else "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    result = score_instances(truth, prediction, kind=kind)
    assert [result["all"][name] for name in NAMES + RECALL] == evaluation.stats.tolist()


def test_the_order_of_annotations_does_not_matter_and_a_perfect_prediction_is_perfect(coco100: Path) -> None:
    truth = coco100 / "instances_val2014_100.json"
    values = read(truth)
    rows = [row | {"score": 0.5} for row in values["annotations"] if not row["iscrowd"]][::4]
    values["annotations"] = [row for row in values["annotations"] if not row["iscrowd"]][::4]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        perfect = score_instances(save(root / "a.json", values), save(root / "p.json", rows))
        values["images"], values["annotations"] = values["images"][::-1], values["annotations"][::-1]
        again = score_instances(save(root / "b.json", values), save(root / "q.json", rows[::-1]))
    assert perfect["all"]["ap"] == perfect["all"]["ar100"] == pytest.approx(1)
    assert repr(again) == repr(perfect)


def test_boundary_ap_of_files(tmp_path: Path) -> None:
    result = score_instances(*files(tmp_path), kind="boundary")
    assert result["class"]["car"]["ap"] == pytest.approx(1)
    assert result["kind"] == "boundary"


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
        (put(score="0.9"), r"image 10 cannot be read \(score '0\.9'\)"),
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
    official = tool.evaluateImgLists(lists, truths, tool.args)
    averages, overlaps = (
        official["averages"],
        dict(zip(official["instLabels"], official["resultApMatrix"][0], strict=True)),
    )
    result = score_cityscapes(truth, folder)
    assert result["all"]["ap"] == averages["allAp"]
    assert result["all"]["ap50"] == averages["allAp50%"]
    for name, own in averages["classes"].items():
        by_overlap = list(result["class"][name]["ap_by_overlap"].values())
        assert by_overlap == pytest.approx(overlaps[name], abs=0, nan_ok=True)
        assert result["class"][name]["ap"] == pytest.approx(own["ap"], abs=0, nan_ok=True)
        assert result["class"][name]["ap50"] == pytest.approx(own["ap50%"], abs=0, nan_ok=True)


def stereo(root: Path, images: Images, *, seed: int, scale: int) -> tuple[Path, Path]:
    """Disparity maps with gaps, and camera files; the maps of ``images`` are enlarged to ``scale``."""
    random = np.random.default_rng(seed)
    for path in [*(root / "gtFine").rglob("*.png"), *(root / "found").rglob("*.png")]:
        write_png(path, read_map(path).repeat(scale, 0).repeat(scale, 1))
    for key, raw, _ in images:
        ids, disparity = (
            raw.repeat(scale, 0).repeat(scale, 1),
            np.zeros([scale * side for side in raw.shape], np.uint16),
        )
        for identity in np.unique(ids).tolist():
            own = ids == identity
            noise = random.integers(-200, 200, own.sum())
            values = (random.uniform(1, 20) * 256 + 1 + noise).clip(1).astype(np.uint16)
            disparity[own] = np.where(random.random(own.sum()) < random.uniform(0.3, 1), values, 0)
        write_png(root / "disparity" / "aachen" / f"{key}_disparity.png", disparity)
        camera = {"extrinsic": {"baseline": 0.209313}, "intrinsic": {"fx": 2262.52}}
        save(root / "camera" / "aachen" / f"{key}_camera.json", camera)
    return root / "disparity", root / "camera"


def median_distance(disparity: np.ndarray) -> float:
    known = disparity[disparity > 0].astype(float)
    if known.size < 0.5 * disparity.size:
        return math.inf
    with np.errstate(divide="ignore"):
        return float(np.median(0.209313 * 2262.52 / ((known - 1) / 256)))


def test_scores_within_a_distance_are_those_of_objects_that_are_near_and_large(tmp_path: Path) -> None:
    truth, folder, images = cityscapes(tmp_path, seed=3, caravans=False)
    disparity, camera = stereo(tmp_path, images, seed=3, scale=4)
    result = score_cityscapes(truth, folder, disparity=disparity, camera=camera)
    plain = score_cityscapes(truth, folder)
    assert {key: value for key, value in result["all"].items() if key in plain["all"]} == plain["all"]
    for meters in (50, 100):
        metric = CityscapesAP(CLASSES, 1000, meters)
        for key, raw, masks in images:
            ids = raw.repeat(4, 0).repeat(4, 1)
            values = read_map(disparity / "aachen" / f"{key}_disparity.png")
            true = [i for i in np.unique(ids).tolist() if i // (1000 if i >= 1000 else 1) in (24, 25, 26, 33)]
            own = [mask.repeat(4, 0).repeat(4, 1) > 0 for mask, label, _ in masks if label != 7]
            labels = [label for _, label, _ in masks if label != 7]
            metric.add_overlaps(
                InstanceOverlaps(
                    np.array([[(mask & (ids == i)).sum() for mask in own] for i in true]).reshape(
                        len(true), -1
                    ),
                    np.array([(mask & np.isin(ids, (0, 4, 29))).sum() for mask in own]),
                    np.array([(ids == i).sum() for i in true]),
                    np.array([mask.sum() for mask in own]),
                    np.array([CLASSES.raw_values.index(i // (1000 if i >= 1000 else 1)) for i in true]),
                    np.array([CLASSES.raw_values.index(label) for label in labels]),
                    np.array([i < 1000 for i in true]),
                    np.array([score for _, label, score in masks if label != 7]),
                    np.array([median_distance(values[ids == i]) for i in true]),
                )
            )
        wanted = metric.result()
        assert result["all"][f"ap_{meters}m"] == wanted["all"]["ap"]
        assert result["class"]["car"][f"ap_{meters}m"] == pytest.approx(
            wanted["class"]["car"]["ap"], nan_ok=True
        )
    assert result["all"]["ap50_50m"] >= result["all"]["ap_50m"] > 0


def test_wrong_stereo_files_are_named(tmp_path: Path) -> None:
    truth, folder, images = cityscapes(tmp_path, seed=0)
    disparity, camera = stereo(tmp_path, images, seed=0, scale=1)
    with pytest.raises(UserError, match="need both disparity maps and camera files"):
        score_cityscapes(truth, folder, camera=camera)
    one = next(camera.rglob("*.json"))
    save(one, {"extrinsic": {}})
    with pytest.raises(UserError, match=r"_camera\.json: not a camera file of Cityscapes \(KeyError"):
        score_cityscapes(truth, folder, disparity=disparity, camera=camera)
    one.unlink()
    with pytest.raises(UserError, match=r"has no file aachen_.*_camera\.json"):
        score_cityscapes(truth, folder, disparity=disparity, camera=camera)
    write_png(next(disparity.rglob("*.png")), np.zeros((3, 3), np.uint16))
    with pytest.raises(UserError, match=r"_disparity\.png: 3x3; expected 96x64|has no file"):
        score_cityscapes(truth, folder, disparity=disparity, camera=camera)


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
