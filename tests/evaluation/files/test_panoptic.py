from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.coco_trees import CATEGORIES, id_map, read, save, write_ids

from segwright.data.datasets.coco_panoptic import CLASSES as COCO
from segwright.data.reading.label_maps import pack_rgb, read_map, write_png
from segwright.errors import UserError
from segwright.evaluation.files.panoptic import score_panoptic
from segwright.labels import LabelSpace
from segwright.metrics.panoptic_quality import PanopticQuality
from segwright.samples import Segment

COLUMNS = ((1, 4), (70000, 5), (300, 3))


def segment(identity: int, category: int, crowd: int = 0, area: int = 48) -> dict[str, int]:
    return {"id": identity, "category_id": category, "iscrowd": crowd, "area": area}


def side(root: Path, name: str, maps: dict[Any, tuple[np.ndarray, list[dict[str, int]]]]) -> Path:
    """A JSON file and the folder of its maps."""
    rows = []
    for image, (ids, segments) in maps.items():
        write_ids(root / name / f"{image}.png", ids)
        rows.append({"image_id": image, "file_name": f"{image}.png", "segments_info": segments})
    images = [{"id": image, "file_name": f"{image}.jpg"} for image in maps]
    return save(root / f"{name}.json", {"images": images, "annotations": rows, "categories": CATEGORIES})


def pair(root: Path) -> tuple[Path, Path]:
    """Two images: one is predicted exactly, in the other only the road is."""
    segments = [segment(1, 1), segment(70000, 5, area=60), segment(300, 9, crowd=1, area=36)]
    truth = side(root, "truth", {7: (id_map(*COLUMNS), segments), 8: (id_map(*COLUMNS), segments)})
    prediction = side(
        root,
        "found",
        {
            8: (id_map((5, 4)), [segment(5, 1)]),
            7: (id_map(*COLUMNS), [*segments[:2], segment(300, 9)]),
            9: (id_map((5, 4)), [segment(5, 1)]),  # an image without ground truth
        },
    )
    return truth, prediction


def test_files_score_like_arrays(tmp_path: Path) -> None:
    result = score_panoptic(*pair(tmp_path))
    road, car = result["class"]["road"], result["class"]["car"]
    assert road == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "tp": 2, "fp": 0, "fn": 0, "iou_sum": 2.0}
    assert car == {"pq": 1 / 1.5, "sq": 1.0, "rq": 1 / 1.5, "tp": 1, "fp": 0, "fn": 1, "iou_sum": 1.0}
    assert math.isnan(result["class"]["person"]["pq"])  # a crowd, and a prediction inside it
    assert (result["all"]["n"], result["things"]["n"], result["stuff"]["n"]) == (2, 1, 1)
    assert result["images"] == 2


def test_folders_may_be_named(tmp_path: Path) -> None:
    truth, prediction = pair(tmp_path)
    (tmp_path / "truth").rename(tmp_path / "maps")
    (tmp_path / "found").rename(tmp_path / "other")
    named = score_panoptic(truth, prediction, truth_dir=tmp_path / "maps", prediction_dir=tmp_path / "other")
    assert named["all"]["n"] == 2


def test_areas_in_the_json_file_count_and_may_be_missing(tmp_path: Path) -> None:
    truth, prediction = pair(tmp_path)
    values = read(truth)
    values["annotations"][0]["segments_info"][0]["area"] = 96
    save(truth, values)
    road = score_panoptic(truth, prediction)["class"]["road"]
    assert (road["pq"], road["sq"], road["rq"]) == (0.5, 1.0, 0.5)  # the IoU is 48 / 96, not above one half
    for row in values["annotations"]:
        for each in row["segments_info"]:
            del each["area"]
    save(truth, values)
    assert score_panoptic(truth, prediction)["class"]["road"]["pq"] == 1


def test_classes_keep_the_order_of_the_file_and_may_share_a_name(tmp_path: Path) -> None:
    truth, prediction = pair(tmp_path)
    values = read(truth)
    values["categories"] = [*reversed(values["categories"]), {"id": 2, "name": "car", "isthing": 1}]
    save(truth, values)
    assert list(score_panoptic(truth, prediction)["class"]) == ["person", "car (5)", "road", "car (2)"]


def changed(side: str, change: Callable[[Any], Any]) -> Callable[[Path], object]:
    def spoil(root: Path) -> None:
        values = read(root / f"{side}.json")
        change(values)
        save(root / f"{side}.json", values)

    return spoil


def rows(values: Any) -> Any:
    """The segments of the annotation of image 7."""
    return next(row for row in values["annotations"] if row["image_id"] == 7)["segments_info"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "found.json").unlink(), r"found\.json: cannot be read \(No such file"),
        (lambda root: (root / "found.json").write_text("{"), r"found\.json: not JSON"),
        (lambda root: save(root / "found.json", []), r"found\.json: contains a list"),
        (changed("found", lambda v: v["annotations"].pop(0)), r"found\.json: has no annotation of image 8, as of 1"),
        (changed("found", lambda v: v["annotations"].append(v["annotations"][0])), r"found\.json: two annotations of"),
        (changed("truth", lambda v: v["annotations"].append(v["annotations"][0])), r"truth\.json: two annotations of"),
        (changed("truth", lambda v: v["annotations"].clear()), r"truth\.json: 'annotations' is empty"),
        (changed("truth", lambda v: v["categories"].clear()), r"truth\.json: has no 'categories'"),
        (changed("truth", lambda v: v["categories"][0].pop("isthing")), r"truth\.json: category 1 has no 'isthing'"),
        (changed("found", lambda v: rows(v)[0].update(category_id=4)), r"found\.json: segment 1 of image 7 has cat"),
        (changed("found", lambda v: rows(v).append(segment(9, 5))), r"7\.png: predicted segment 9 has no pixel in"),
        (changed("found", lambda v: rows(v).pop()), r"7\.png: the predicted map holds id 300, which is not among"),
        (changed("found", lambda v: rows(v).append(segment(1, 5))), r"annotation of image 7 .*segment 1 is listed tw"),
        (changed("found", lambda v: v["annotations"][0].pop("file_name")), r"image 8 has no 'file_name'"),
        (lambda root: (root / "found" / "8.png").unlink(), r"8\.png: does not exist, like 1 of 4 maps"),
        (lambda root: (root / "truth" / "7.png").unlink(), r"7\.png: does not exist"),
        (lambda root: write_png(root / "found" / "7.png", np.zeros((12, 16), np.uint8)), r"7\.png: is not an 8-bit"),
        (lambda root: write_png(root / "found" / "7.png", np.zeros((12, 9, 3), np.uint8)), r"7\.png: 9x12, its ground"),
        (lambda root: (root / "found" / "7.png").write_bytes(b""), r"7\.png: is not an 8-bit"),
    ],
)  # fmt: skip
def test_what_is_missing_or_does_not_fit_is_named(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    truth, prediction = pair(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        score_panoptic(truth, prediction)
    assert "\n" not in str(caught.value)


def test_a_damaged_map_is_named(tmp_path: Path) -> None:
    truth, prediction = pair(tmp_path)
    path = tmp_path / "found" / "7.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"7\.png: truncated"):
        score_panoptic(truth, prediction)


def coco(shared: Path, root: Path, shift: tuple[int, int]) -> tuple[Path, Path]:
    """The four COCO images; predictions are the true maps, shifted."""
    folder = shared / "data" / "coco_panoptic_sample"
    if not folder.is_dir():
        pytest.skip(f"no COCO panoptic sample at {folder}")
    annotations = folder / "COCOPanoptic_test_data" / "annotations"
    sources = [
        folder / "sample_data" / "panoptic_examples.json",
        annotations / "panoptic_val2017.json",
        annotations / "panoptic_train2017.json",
    ]
    known = {}
    for source in sources:
        values = json.loads(source.read_text())
        for entry in values["annotations"]:
            path = (source.with_suffix("") / entry["file_name"]).with_suffix(".png")
            known[entry["image_id"]] = path, entry["segments_info"]
    sides: list[dict[Any, Any]] = [{}, {}]
    for image in (142238, 439180, 139, 9):
        path, segments = known[image]
        ids = pack_rgb(read_map(path, "rgb")[..., ::-1])
        sides[0][image] = ids, segments
        sides[1][image] = (
            np.roll(ids, shift, (0, 1)),
            [{k: s[k] for k in ("id", "category_id")} for s in segments],
        )
    pairs = zip(COCO.raw_values, COCO.names, strict=True)
    categories = [{"id": i, "name": name, "isthing": int(name in COCO.things)} for i, name in pairs]
    paths = side(root, "truth", sides[0]), side(root, "found", sides[1])
    for path in paths:
        save(path, read(path) | {"categories": categories})
    return paths


@pytest.mark.parametrize(
    ("shift", "figures"),
    [
        ((2, -3), (0.7102402902818965, 0.7291261949492295, 0.9067588325652841)),
        ((8, -12), (0.3169004838499833, 0.32541542324757994, 0.46774193548387094)),
    ],
)
def test_files_score_as_with_panopticapi(
    shared: Path, tmp_path: Path, shift: tuple[int, int], figures: tuple[float, ...]
) -> None:
    result = score_panoptic(*coco(shared, tmp_path, shift))
    assert (result["all"]["pq"], result["all"]["sq"], result["all"]["rq"]) == figures
    if shift == (2, -3):
        assert result["things"]["pq"] == 0.5847085449384033
        assert result["stuff"]["pq"] == 0.8441408186482895


def random_side(random: np.random.Generator, count: int) -> dict[Any, Any]:
    """Maps of blocks, some without a segment (void)."""
    maps = {}
    for image in range(count):
        blocks = random.integers(0, 12, (4, 5))
        ids = np.kron(blocks, np.ones((9, 11), np.int32)).astype(np.int32) * 300
        ids = np.roll(ids, random.integers(0, 5, 2), (0, 1))
        segments = [
            segment(int(i), int(random.choice([1, 5, 9])), 0, int((ids == i).sum()))
            for i in np.unique(ids)
            if i
        ]
        maps[image] = ids, segments
    return maps


def test_the_result_does_not_depend_on_the_number_of_cores(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = random_side(random, 12)
    prediction = {
        image: (np.where(random.random(ids.shape) < 0.9, ids, 0), [s | {"iscrowd": 0} for s in segments])
        for image, (ids, segments) in truth.items()
    }
    result = score_panoptic(side(tmp_path, "truth", truth), side(tmp_path, "found", prediction))
    labels = LabelSpace("x", ("road", "car", "person"), ((0, 0, 0),) * 3, (1, 5, 9), things=("car", "person"))
    metric = PanopticQuality(labels)
    class_of = {1: 0, 5: 1, 9: 2}
    for image, (ids, segments) in truth.items():
        segment_list = [Segment(s["id"], class_of[s["category_id"]]) for s in segments]
        metric.add(prediction[image][0], segment_list, ids, segment_list)
    assert json.dumps(result["class"]) == json.dumps(metric.result()["class"])


@pytest.mark.parametrize("seed", range(4))
def test_another_evaluator_agrees(tmp_path: Path, seed: int) -> None:
    panoptic = pytest.importorskip("hotcoco.panoptic")
    random = np.random.default_rng(seed)
    truth = random_side(random, 10)
    prediction = {}
    for image, (ids, segments) in truth.items():
        shifted = np.roll(ids, random.integers(-4, 5, 2), (0, 1))
        shifted[random.random(ids.shape) < 0.05] = 0
        segment_list = [dict(row) for row in segments if (shifted == row["id"]).any()]
        for row in segment_list:
            if random.random() < 0.1:
                row["category_id"] = int(random.choice([1, 5, 9]))
        prediction[image] = shifted, segment_list
        for row in segments:
            row["iscrowd"] = int(row["category_id"] != 1 and random.random() < 0.15)
    paths = side(tmp_path, "truth", truth), side(tmp_path, "found", prediction)
    evaluation = panoptic.PanopticEval(*paths, gt_folder=tmp_path / "truth", pred_folder=tmp_path / "found")
    evaluation.evaluate()
    wanted, result = evaluation.results(), score_panoptic(*paths)
    # It adds up images first, panopticapi adds segment by segment: the last digit may differ.
    for group in ("all", "things", "stuff"):
        expected = wanted[group.capitalize()]
        own = {name: result[group][name] for name in expected}
        assert own == pytest.approx(expected, rel=1e-14)
    for category, name in ((1, "road"), (5, "car"), (9, "person")):
        for key, value in result["class"][name].items():
            assert value == pytest.approx(wanted["per_class"][category][key], rel=1e-14)
