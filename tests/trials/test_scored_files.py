"""Files are scored as they are, or refused in one line: ids, names, labels, outlines and options all mean something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coder

from segwright.analysis.reports.report_page import RunReport, key_figures
from segwright.cli.main import main
from segwright.cli.tables import print_scores
from segwright.data.datasets import dataset_labels, dataset_names
from segwright.data.datasets.bdd100k import CLASSES as BDD100K
from segwright.data.datasets.cityscapes import CLASSES, TRAIN_ID_CLASSES
from segwright.data.datasets.kitti_step import CLASSES as KITTI_STEP
from segwright.data.datasets.mapillary import CLASSES as VISTAS
from segwright.data.reading.label_maps import write_png
from segwright.data.reading.rle import annotation_to_rle
from segwright.errors import UserError
from segwright.evaluation.evaluator import Evaluator
from segwright.evaluation.files.instance import score_cityscapes, score_instances
from segwright.evaluation.files.panoptic import score_panoptic
from segwright.evaluation.result import format_scores, headline_scores
from segwright.labels import LabelSpace
from segwright.metrics.average_precision import AveragePrecision
from segwright.metrics.cityscapes_ap import CityscapesAP
from segwright.samples import PredictedSegment, Prediction, Sample, Segment

SQUARE = [2.0, 2.0, 10.0, 2.0, 10.0, 10.0, 2.0, 10.0]
SIZE = (16, 20)


def score(*arguments: object) -> int:
    return main(["score", *map(str, arguments)])


def coco(folder: Path, segmentation: Any, *, name: str = "cat", **fields: Any) -> tuple[Path, Path]:
    """One object as ground truth with this segmentation; the prediction is a square."""
    row = {"id": 41, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 64.0, "bbox": [2, 2, 8, 8]}
    truth = {
        "images": [{"id": 1, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [row | {"segmentation": segmentation} | fields],
        "categories": [{"id": 1, "name": name}],
    }
    result = {"image_id": 1, "category_id": 1, "segmentation": [SQUARE], "bbox": [2, 2, 8, 8], "score": 0.9}
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps([result]))
    return folder / "truth.json", folder / "found.json"


RLE = {"size": list(SIZE), "counts": [0, 64, SIZE[0] * SIZE[1] - 64]}


@pytest.mark.parametrize(
    "segmentation",
    [
        [[2, 2, 8, 8]],  # a box
        [RLE],
        [],
        [[]],
        SQUARE,  # numbers without a list around them
        [2, 2, 8, 8],
        [[*SQUARE, 1.0]],  # an odd number of coordinates
        [[str(number) for number in SQUARE]],
        [[2, 2, 3, 3], [4, 4, 5, 5]],
        [[[2, 2], [10, 2], [10, 10]]],  # points
        {"size": list(SIZE)},
        {"size": list(SIZE), "counts": [1.5, 318.5]},
        {"size": [3, 4], "counts": [12]},
        "polygon",
        7,
        None,
        True,
    ],
    ids=str,
)
@pytest.mark.parametrize("side", ["truth", "found"])
def test_an_outline_that_is_none_is_refused_with_the_id_of_its_annotation(
    tmp_path: Path, segmentation: Any, side: str
) -> None:
    truth, prediction = coco(tmp_path, [SQUARE] if side == "found" else segmentation)
    if side == "found":
        (row,) = json.loads(prediction.read_text())
        prediction.write_text(json.dumps([row | {"segmentation": segmentation}]))
    with pytest.raises(
        UserError, match=r"annotation (41|number 1) of image 1 (cannot be read|has no)"
    ) as caught:
        score_instances(truth, prediction)
    assert "\n" not in str(caught.value)
    assert score_instances(truth, prediction, kind="box")["all"]["ap"] == pytest.approx(1)


NUMBERS = st.one_of(
    st.integers(-5, 25), st.floats(-5, 25, width=16), st.booleans(), st.none(), st.text(max_size=2)
)
POLYGONS = st.lists(st.lists(NUMBERS, max_size=9), max_size=3)
GOOD_POLYGONS = st.lists(
    st.lists(st.floats(0, 16, width=16), min_size=3, max_size=5).map(lambda values: values * 2),
    min_size=1,
    max_size=3,
)
RUNS = st.lists(st.one_of(st.integers(-2, 330), st.floats(0, 330)), max_size=4)
COUNTS = st.one_of(RUNS, st.text(max_size=6), st.none())
FORMS = st.one_of(
    POLYGONS,
    GOOD_POLYGONS,
    st.fixed_dictionaries({"size": st.sampled_from([list(SIZE), [20, 16], None]), "counts": COUNTS}),
    st.integers(1, 319).map(lambda run: {"size": list(SIZE), "counts": [run, 320 - run]}),
    st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=3), max_leaves=6),
    st.lists(st.just(RLE), max_size=2),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FORMS)
def test_every_form_of_an_outline_is_scored_as_pycocotools_reads_it_or_refused(
    tmp_path: Path, segmentation: Any
) -> None:
    truth, prediction = coco(tmp_path, segmentation)
    try:
        score_instances(truth, prediction)
    except UserError as error:
        assert "annotation 41 of image 1" in str(error)
        assert "\n" not in str(error)
        return
    if isinstance(segmentation, list):
        segmentation = [polygon for polygon in segmentation if len(polygon) >= 6]
    code = coder.frPyObjects(segmentation, *SIZE)
    wanted = coder.merge(code) if isinstance(code, list) else code
    assert annotation_to_rle(segmentation, SIZE) == wanted


@pytest.mark.parametrize("area", [None, "64", float("nan"), -1, ...])
def test_an_area_that_is_no_number_is_measured(tmp_path: Path, area: Any) -> None:
    truth, prediction = coco(tmp_path, [SQUARE], area=area if area is not ... else None)
    if area is ...:
        values = json.loads(truth.read_text())
        del values["annotations"][0]["area"]
        truth.write_text(json.dumps(values))
    for kind in ("mask", "box"):
        result = score_instances(truth, prediction, kind=kind)  # type: ignore[arg-type]
        assert result["all"]["ap_small"] == pytest.approx(1)


@pytest.mark.parametrize("name", ["[other]", "road[/]", "[bold]", "[/red]", "a\\", "[[x]]", ":car:"])
def test_class_names_are_shown_as_they_are(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, prediction = coco(tmp_path, [SQUARE], name=name)
    assert score("instance", "--truth", truth, "--prediction", prediction) == 0
    assert name in capsys.readouterr().out


def test_files_may_have_more_categories_than_a_class_map_can_hold(tmp_path: Path) -> None:
    """LVIS has 1230 categories."""
    truth, prediction = coco(tmp_path, [SQUARE], category_id=1200)
    values = json.loads(truth.read_text())
    values["categories"] = [{"id": i, "name": f"class {i}"} for i in range(1230, 0, -1)]
    truth.write_text(json.dumps(values))
    (row,) = json.loads(prediction.read_text())
    prediction.write_text(json.dumps([row | {"category_id": 1200}, row | {"category_id": 256}]))
    result = score_instances(truth, prediction)
    assert result["all"]["ap"] == pytest.approx(1)
    assert list(result["class"])[:2] == ["class 1", "class 2"]  # in the order of pycocotools
    with pytest.raises(ValueError, match="expected 1 to 65535"):
        LabelSpace.of(*(f"class {i}" for i in range(65536)))


CATEGORIES = [{"id": 1, "name": "road", "isthing": 0}, {"id": 2, "name": "car", "isthing": 1}]


def panoptic(folder: Path, side: str, categories: list[dict[str, Any]] | None, category: int = 2) -> Path:
    write_png(folder / side / "1.png", np.full((6, 8, 3), (7, 0, 0), np.uint8))
    row = {"image_id": 1, "file_name": "1.png", "segments_info": [{"id": 7, "category_id": category}]}
    values: dict[str, Any] = {"annotations": [row]} | (
        {} if categories is None else {"categories": categories}
    )
    path = folder / f"{side}.json"
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize(
    ("categories", "fits"),
    [
        (None, True),
        (CATEGORIES, True),
        (CATEGORIES[1:], True),  # a part of them
        ([{"id": 2, "name": "Car"}], True),
        ([*CATEGORIES, {"id": 9, "name": "sky"}], True),
        ([{"id": i} for i in (1, 2)], True),  # without names
        ([{"id": 0, "name": "road"}, {"id": 1, "name": "car"}], False),  # numbered from 0
        ([{"id": 1, "name": "car"}, {"id": 2, "name": "road"}], False),
        ([{"id": 2, "name": "bus"}], False),
    ],
)
def test_files_whose_categories_differ_are_not_compared(
    tmp_path: Path, categories: list[dict[str, Any]] | None, fits: bool
) -> None:
    truth = panoptic(tmp_path, "truth", CATEGORIES)
    prediction = panoptic(tmp_path, "found", categories)
    if fits:
        assert score_panoptic(truth, prediction)["class"]["car"]["pq"] == 1
        return
    with pytest.raises(
        UserError, match=r"found\.json: category \d is '\w+'; in the ground truth .* it is '\w+'"
    ):
        score_panoptic(truth, prediction)


def test_panoptic_files_may_have_many_categories(tmp_path: Path) -> None:
    categories = [{"id": i, "name": f"class {i}", "isthing": 1} for i in range(400)]
    truth = panoptic(tmp_path, "truth", categories, 399)
    result = score_panoptic(truth, panoptic(tmp_path, "found", categories, 399))
    scores = {"pq": 1, "sq": 1, "rq": 1, "n": 1}
    assert {name: result["all"][name] for name in scores} == scores


def cityscapes(folder: Path, *, label: int = 26, instance: int = 26001) -> tuple[Path, Path]:
    """A car as ground truth and its mask as prediction."""
    ids = np.full((20, 30), 7, np.uint16)
    ids[2:18, 2:20] = 26001
    ids[0, 0] = instance
    write_png(folder / "gt" / "aachen_0_1_gtFine_instanceIds.png", ids)
    write_png(folder / "found" / "m.png", (ids == 26001).astype(np.uint8))
    (folder / "found" / "aachen_0_1.txt").write_text(f"m.png {label} 0.5\n")
    return folder / "gt", folder / "found"


@pytest.mark.parametrize("label", [77, 255, -5, 1000])
def test_a_label_that_is_in_no_table_is_an_error(tmp_path: Path, label: int) -> None:
    with pytest.raises(UserError, match=rf"aachen_0_1\.txt: m\.png has label {label}, which is no label of"):
        score_cityscapes(*cityscapes(tmp_path, label=label))


@pytest.mark.parametrize("label", [7, 29, 0, -1])
def test_labels_that_are_not_scored_are_left_out(tmp_path: Path, label: int) -> None:
    assert score_cityscapes(*cityscapes(tmp_path, label=label))["all"]["ap"] == 0


@pytest.mark.parametrize("instance", [77, 35001])
def test_an_instance_of_no_known_label_is_an_error(tmp_path: Path, instance: int) -> None:
    with pytest.raises(UserError, match=rf"contains id {instance}, and (77|35) is no label of cityscapes"):
        score_cityscapes(*cityscapes(tmp_path, instance=instance))


@pytest.mark.parametrize("option", [("--kind", "box"), ("--kind", "mask"), ("--max-detections", 1)])
def test_options_of_coco_are_refused_on_folders_of_cityscapes(
    tmp_path: Path, option: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    truth, prediction = cityscapes(tmp_path)
    assert score("instance", "--truth", truth, "--prediction", prediction) == 0
    assert score("instance", "--truth", truth, "--prediction", prediction, *option) == 2
    assert f"{option[0]} has no effect" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("predict nothing a.png --out o --fuse max", "--fuse"),
        ("evaluate nothing --fuse logits", "--fuse"),
        ("data convert labelme . --out o --to semantic", "--to"),
        ("data convert coco a.json --out o --train-ids", "--train-ids"),
        ("data convert coco a.json --out o --names a b", "--names"),
        ("data convert rgb . --out o --labels a.yaml --split val", "--split"),
        ("data convert cityscapes-panoptic . --out o --labels a.yaml", "--labels"),
        ("data convert coco-panoptic-trainid a.json --out o --to panoptic", "--to"),
        ("data show street --out s.png --progress 0.5", "--progress"),
    ],
)
def test_an_option_without_effect_is_an_error(
    command: str,
    option: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 2
    assert f"{option} has no effect" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    sorted({*dataset_names()} - {"folder", "own_data", "panoptic_folder", "tar_shards", "ade20k_panoptic"}),
)
def test_every_dataset_with_classes_has_a_label_space_by_name(name: str, tmp_path: Path) -> None:
    labels = dataset_labels(name)
    value = labels.to_raw(np.zeros((4, 4), np.uint8))
    for side in ("truth", "found"):
        write_png(tmp_path / side / "1.png", value)
    arguments = ("--truth", tmp_path / "truth", "--prediction", tmp_path / "found", "--labels", name)
    assert score("semantic", *arguments) == 0


def test_label_spaces_of_several_files_have_names() -> None:
    assert dataset_labels("minicity") == CLASSES
    assert dataset_labels("mapillary") == dataset_labels("mapillary_v1.2") == VISTAS
    for name in ("cityscapes_train_ids", "cityscapes train ids", "Cityscapes-train-ids"):
        assert dataset_labels(name) == TRAIN_ID_CLASSES
    assert len(dataset_labels("bdd100k_panoptic")) == 40
    with pytest.raises(UserError, match="did you mean 'mapillary'"):
        dataset_labels("mapilary")
    with pytest.raises(UserError, match="has no fixed classes"):
        dataset_labels("folder")


def test_the_config_of_vistas_names_labels(tmp_path: Path) -> None:
    row = {"name": "a--b", "readable": "B", "color": [1, 2, 3], "instances": False, "evaluate": True}
    (tmp_path / "config_v2.0.json").write_text(json.dumps({"labels": [row]}))
    for side in ("truth", "found"):
        write_png(tmp_path / side / "1.png", np.zeros((4, 4), np.uint8))
    arguments = ("--truth", tmp_path / "truth", "--prediction", tmp_path / "found")
    assert score("semantic", *arguments, "--labels", tmp_path / "config_v2.0.json") == 0


def scene(labels: LabelSpace) -> tuple[Prediction, Sample]:
    truth, found = np.zeros((40, 60), np.int32), np.full((40, 60), -1, np.int32)
    truth[5:25, 5:25], truth[5:25, 30:55] = 1, 2
    found[5:25, 7:25], found[5:25, 38:55] = 13001, 13002
    car = labels.names.index("car")
    predicted = (PredictedSegment(13001, car, 360, 0.4), PredictedSegment(13002, car, 340, 0.8))
    prediction = Prediction(np.full((40, 60), car, np.uint8), found, predicted)
    image = np.zeros((40, 60, 3), np.uint8)
    return prediction, Sample(image, truth, "a", (Segment(1, car), Segment(2, car)))


def test_an_evaluation_by_two_rules_names_both() -> None:
    prediction, sample = scene(CLASSES)
    evaluator = Evaluator(CLASSES)
    evaluator.add(prediction, sample)
    values = evaluator.result().to_json()
    own, usual = CityscapesAP(CLASSES), AveragePrecision(CLASSES)
    arguments = (prediction.panoptic, prediction.segments, sample.map, sample.segments)
    own.add(*arguments)  # type: ignore[arg-type]
    usual.add(*arguments)  # type: ignore[arg-type]
    assert values["cityscapes_ap"] == own.result()["all"]["ap"]
    assert values["ap"] == usual.result()["all"]["ap"] != values["cityscapes_ap"]
    text = format_scores(headline_scores(values))
    assert f"COCO AP {values['ap']:.2%}" in text
    assert f"Cityscapes AP {values['cityscapes_ap']:.2%}" in text
    titles = [title for title, _ in key_figures(RunReport("run", CLASSES, evaluation=values))]
    assert titles[:3] == ["PQ", "COCO AP", "Cityscapes AP"]


def test_a_table_by_two_rules_names_both(capsys: pytest.CaptureFixture[str]) -> None:
    evaluator = Evaluator(CLASSES)
    evaluator.add(*scene(CLASSES))
    values = evaluator.result().to_json()
    print_scores(values)
    printed = capsys.readouterr().out
    assert f"COCO AP {values['ap']:.2%}" in printed
    assert f"Cityscapes AP {values['cityscapes_ap']:.2%}" in printed


def test_two_processes_count_both_aps_as_one_does() -> None:
    single, first, second = (Evaluator(CLASSES) for _ in range(3))
    for index, evaluator in enumerate((first, second)):
        evaluator.add(*scene(CLASSES), index=index)
        single.add(*scene(CLASSES), index=index)
    first.cityscapes_ap.combine(second.cityscapes_ap.state)
    assert repr(first.cityscapes_ap.result()) == repr(single.cityscapes_ap.result())


def test_names_of_lists_are_no_patterns_and_may_have_backslashes(tmp_path: Path) -> None:
    truth, prediction = cityscapes(tmp_path)
    (truth / "aachen_0_1_gtFine_instanceIds.png").rename(truth / "img[3]_gtFine_instanceIds.png")
    (prediction / "masks").mkdir()
    (prediction / "m.png").rename(prediction / "masks" / "m.png")
    (prediction / "aachen_0_1.txt").unlink()
    (prediction / "img[3]_pred.txt").write_text("masks\\m.png 26 0.5\n")
    assert score_cityscapes(truth, prediction)["class"]["car"]["ap"] == 1


@pytest.mark.parametrize("labels", [KITTI_STEP, BDD100K])
def test_other_datasets_have_one_ap(labels: LabelSpace) -> None:
    assert labels.average_precision == VISTAS.average_precision == "coco"
    evaluator = Evaluator(labels)
    evaluator.add(*scene(labels))
    values = evaluator.result().to_json()
    assert "cityscapes_ap" not in values
    assert "COCO" not in format_scores(headline_scores(values))
