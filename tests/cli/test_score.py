from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.files.test_instance import cityscapes, files, stereo
from tests.evaluation.files.test_panoptic import pair
from tests.evaluation.files.test_vistas import vistas
from tests.golden import recorded as golden

from segwright.cli.main import main
from segwright.data.reading.label_maps import write_png
from segwright.evaluation.files.instance import score_instances
from segwright.evaluation.files.panoptic import score_panoptic


def run(*arguments: object) -> int:
    return main(["score", *map(str, arguments)])


def test_panoptic_prints_a_table_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, prediction = pair(tmp_path)
    numbers = tmp_path / "new" / "pq.json"
    folders = ("--truth-dir", tmp_path / "truth", "--prediction-dir", tmp_path / "found")
    assert run("panoptic", "--truth", truth, "--prediction", prediction, *folders, "--json", numbers) == 0
    printed = capsys.readouterr().out
    assert "2 images" in printed
    assert "all, 2 classes" in printed
    assert "66.67" in printed
    values = json.loads(numbers.read_text())
    person = {"pq": None, "sq": None, "rq": None, "tp": 0, "fp": 0, "fn": 0, "iou_sum": 0.0}
    assert values["class"]["person"] == person
    wanted = score_panoptic(truth, prediction)
    for name in ("all", "things", "stuff"):
        assert values[name] == wanted[name]
        assert set(values[name]) == {"pq", "sq", "rq", "n", "tp", "fp", "fn", "iou_sum"}


def test_instance_scores_coco_and_cityscapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, prediction = files(tmp_path)
    numbers = tmp_path / "ap.json"
    common = ("instance", "--truth", truth, "--prediction", prediction, "--json", numbers)
    assert run(*common, "--max-detections", 500) == 0
    values = json.loads(numbers.read_text())
    assert values["max_detections"] == 500
    assert values["all"]["ap"] == score_instances(truth, prediction)["all"]["ap"]
    assert values["class"]["road"]["ap"] is None
    assert "AP 50.00   AP50 50.00   AP75 50.00   AP small 50.00" in capsys.readouterr().out
    assert run(*common, "--kind", "box") == 0
    assert json.loads(numbers.read_text())["kind"] == "box"
    gt, lists, _ = cityscapes(tmp_path / "city", seed=0)
    assert run("instance", "--truth", gt, "--prediction", lists, "--json", numbers) == 0
    assert set(json.loads(numbers.read_text())["all"]) == {"ap", "ap50", "ap_by_overlap", "n"}


def test_panoptic_prints_counts_and_scores_boundaries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, prediction = pair(tmp_path)
    numbers = tmp_path / "pq.json"
    common = ("panoptic", "--truth", truth, "--prediction", prediction, "--json", numbers)
    assert run(*common) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "│ all, 2 classes │ 83.33 │ 100.00 │ 83.33 │ 3 │ 0 │ 1 │" in printed
    assert json.loads(numbers.read_text())["kind"] == "mask"
    assert run(*common, "--boundary") == 0
    assert "boundary PQ %" in capsys.readouterr().out
    assert json.loads(numbers.read_text())["kind"] == "boundary"


def test_instance_draws_precision_recall_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, prediction = files(tmp_path)
    common = ("instance", "--truth", truth, "--prediction", prediction)
    for name, start in (("pr.png", b"\x89PNG"), ("pr.svg", b"<?xml"), ("pr.pdf", b"%PDF")):
        assert run(*common, "--plot", tmp_path / "plots" / name) == 0
        assert (tmp_path / "plots" / name).read_bytes().startswith(start)
    assert "AR1 50.00   AR10 50.00   AR100 50.00   AR small 50.00" in capsys.readouterr().out
    numbers = tmp_path / "ap.json"
    assert run(*common, "--kind", "boundary", "--json", numbers) == 0
    values = json.loads(numbers.read_text())
    assert values["kind"] == "boundary"
    curves = values["precision_recall"]
    assert len(curves["recall"]) == len(curves["class"]["car"]["0.50"]) == 101
    assert set(curves["class"]) == {"car", "person"}  # road does not occur
    assert run(*common, "--plot", tmp_path / "pr.doc") == 2
    assert "unknown kind of image" in capsys.readouterr().err


def test_instance_scores_cityscapes_by_distance_and_vistas(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = tmp_path / "ap.json"
    truth, folder, images = cityscapes(tmp_path, seed=3)
    disparity, camera = stereo(tmp_path, images, seed=3, scale=4)
    common = ("instance", "--truth", truth, "--prediction", folder, "--json", numbers)
    assert run(*common, "--disparity", disparity, "--camera", camera) == 0
    printed = capsys.readouterr().out
    assert "AP 100m %" in printed
    assert "AP by overlap   0.50 " in printed
    values = json.loads(numbers.read_text())
    assert set(values["class"]["car"]) == {"ap", "ap50", "ap_by_overlap", "ap_100m", "ap_50m", "ap50_50m"}
    truth, folder, config = vistas(tmp_path / "vistas")
    common = ("instance", "--truth", truth, "--prediction", folder, "--json", numbers)
    assert run(*common, "--config", config) == 0
    assert json.loads(numbers.read_text())["class"]["Car"]["ap"] == pytest.approx(0.5)
    assert run(*common, "--config", config, "--camera", camera) == 2
    assert "--camera has no effect on Mapillary Vistas" in capsys.readouterr().err
    assert run(*common, "--plot", tmp_path / "a.png") == 2
    assert "--plot has no effect on folders" in capsys.readouterr().err


def test_semantic_takes_a_label_map_or_the_name_of_a_dataset(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("classes: {a: 7, b: 8}\nignored: [0]\n")
    for folder in ("truth", "found"):
        write_png(tmp_path / folder / "1.png", np.array([[7, 8, 0]], np.uint8))
    common = ("semantic", "--truth", tmp_path / "truth", "--prediction", tmp_path / "found")
    numbers = tmp_path / "iou.json"
    assert run(*common, "--labels", tmp_path / "map.yaml", "--json", numbers) == 0
    values = json.loads(numbers.read_text())
    assert values["miou"] == 1
    assert values["class_iou"] == {"a": 1, "b": 1}
    assert run(*common, "--labels", "cityscapes", "--json", numbers) == 0
    assert json.loads(numbers.read_text())["class_iou"]["car"] is None


def test_wrong_use_and_wrong_files_end_with_two_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, prediction = pair(tmp_path)
    (tmp_path / "found" / "8.png").unlink()
    coco, _ = files(tmp_path / "coco")
    for arguments, message in (
        (("panoptic", "--truth", truth, "--prediction", prediction), "8.png: does not exist"),
        (("panoptic", "--truth", truth, "--prediction", truth, "--json", tmp_path), "is a folder"),
        (
            ("instance", "--truth", coco, "--prediction", coco),
            "truth.json: does not contain a list of objects",
        ),
        (
            ("semantic", "--truth", truth, "--prediction", prediction, "--labels", "kamvid"),
            "did you mean 'camvid'",
        ),
    ):
        assert run(*arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_semantic_prints_classes_and_categories_and_writes_json_and_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = golden.DATA / "s4_evaluate_a"
    sides = ("--truth", folder / "minicity" / "gtFine" / "val", "--prediction", folder / "results")
    common = ("semantic", *sides, "--labels", "cityscapes")
    numbers, table = tmp_path / "new" / "iou.json", tmp_path / "confusion.csv"
    metrics = "BoundaryIoU, TrimapIoU(widths=(3,))"
    assert run(*common, "--json", numbers, "--confusion", table, "--metrics", metrics) == 0
    printed = capsys.readouterr().out
    assert "mIoU 68.10   iIoU 80.72   category IoU 66.32   category iIoU 85.46" in printed
    assert "construction" in printed
    assert "trimap_iou_3" in printed
    values = json.loads(numbers.read_text())
    expected = json.loads((folder / "results.json").read_text())
    assert values["class_iiou"]["car"] == expected["classInstScores"]["car"]
    assert values["class_iiou"]["road"] is None
    assert set(values["class_boundary_iou"]) == set(values["class_iou"])
    rows = [line.split(",") for line in table.read_text().splitlines()]
    assert rows[0][1:] == [*values["class_iou"], "no class"]
    assert [[int(cell) for cell in row[1:]] for row in rows[1:]] == values["confusion"]
    assert run(*common, "--metrics", "BoundryIoU") == 2
    assert "did you mean BoundaryIoU?" in capsys.readouterr().err
    assert run(*common, "--confusion", tmp_path) == 2


def test_scores_that_the_data_do_not_define_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in ("truth", "prediction"):
        write_png(tmp_path / side / "a.png", np.array([[0, 1], [1, 1]], np.uint8))
    (tmp_path / "classes.yaml").write_text("classes: {a: 0, b: 1}\n")
    files = ("--truth", tmp_path / "truth", "--prediction", tmp_path / "prediction")
    options = ("--labels", tmp_path / "classes.yaml", "--metrics", "BoundaryIoU, InstanceIoU")
    assert run("semantic", *files, *options) == 0
    assert "undefined for these data and labels: mean_iiou, mean_category_iiou" in capsys.readouterr().out
    assert run("semantic", *files, *options[:2]) == 0
    assert "undefined" not in capsys.readouterr().out
