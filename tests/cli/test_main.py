"""The command line, as users type it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests import small
from tests.data.formats.test_image_dataset import fake_camvid

from segwright.cli.main import main

SMALL = f"{Path(__file__).parents[1] / 'small.py'}"


def test_train_evaluate_predict_and_report_work_on_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, run = fake_camvid(tmp_path / "camvid"), tmp_path / "run"
    changes = [
        "training.steps=2",
        "training.batch=2",
        "training.workers=0",
        "training.precision=fp32",
        "model.channels=[8,8,8,8]",
    ]
    changes += [f"augmentation.augmentation.steps.0.stages.{i}.size=[32,32]" for i in range(3)]
    assert main(["train", "camvid.quick", "--data", str(root), "--out", str(run), "--set", *changes]) == 0
    assert "pedestrian" in capsys.readouterr().out

    scores = tmp_path / "val.json"
    assert main(["evaluate", str(run), "--data", str(root), "--split", "val", "--json", str(scores)]) == 0
    values = json.loads(scores.read_text())
    assert values.keys() >= {"miou", "pixel_accuracy", "class_iou", "images"}
    assert values["images"] == 2
    assert values["miou"] == pytest.approx(json.loads((run / "summary.json").read_text())["miou"])

    assert main(["predict", str(run), str(root / "val"), "--out", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out" / "index").iterdir())) == 2
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").stat().st_size > 50_000
    assert main(["data", "check", "camvid.quick", "--data", str(root)]) == 0


def test_panoptic_runs_have_the_same_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, scores = tmp_path / "run", tmp_path / "val.json"
    assert main(["train", "street.panoptic_quick", "--out", str(run), "--set", *small.TWO_STEPS]) == 0
    assert "PQ all" in capsys.readouterr().out
    summary = json.loads((run / "summary.json").read_text())
    metrics = ["--metrics", "InstanceIoU, Calibration(bins=10)"]
    assert main(["evaluate", str(run), "--json", str(scores), *metrics]) == 0
    values = json.loads(scores.read_text())
    assert len(values["calibration"]["counts"]) == 10
    assert values["class_iiou"].keys() == values["class_iou"].keys()
    assert values["pq"] == values["panoptic"]["all"]["pq"] == pytest.approx(summary["pq"])
    assert set(values["panoptic"]) == {"all", "things", "stuff", "class"}
    assert values["average_precision"]["max_detections"] == 100
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert 'id="segments"' in page
    assert "Unmatched segments, by cause" in page
    assert main(["report", str(run), str(run)]) == 0
    assert "PQ per class" in (run / "comparison-with-run.html").read_text()
    assert main(["predict", str(run), "nothing.png", "--out", str(tmp_path / "out")]) == 2

    changes = ["data.panoptic=false"]
    assert main(["train", "street.panoptic_quick", "--out", str(tmp_path / "b"), "--set", *changes]) == 2
    assert "a class map without segments" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "camvid.quik"], "did you mean 'camvid.quick'"),
        (["train", "camvid.quick"], "no --data given"),
        (["train", "camvid.quick", "--data", "nowhere"], "no such folder"),
        (["train", "camvid.quick", "--set", "optim.lrr=1"], "did you mean 'lr'"),
        (["train", "street.quick", "--device", "abacus"], "--device abacus: unknown device"),
        (["evaluate", "nowhere"], "nowhere: file does not exist"),
        (["evaluate", "nowhere", "--metrics", "Calibrate"], "did you mean Calibration?"),
        (["report", "nowhere"], "not a run folder"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_two(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr().err.strip()
    assert message in printed
    assert len(printed.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []  # nothing half-written


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert main(["train", f"{SMALL}:recipe", "--out", str(tmp_path / "file" / "run"), "--device", "cpu"]) == 2
    printed = capsys.readouterr().err.strip()
    assert len(printed.splitlines()) == 1
    assert "file" in printed


def test_skipped_images_are_named_and_exit_code_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["train", f"{SMALL}:recipe", "--out", str(run), "--device", "cpu"]) == 0
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "broken.png").write_bytes(b"")
    capsys.readouterr()
    assert main(["predict", str(run), str(tmp_path / "images"), "--out", str(tmp_path / "out")]) == 1
    assert "broken.png" in capsys.readouterr().err


def test_recipes_are_listed_with_summaries_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "list"]) == 0
    listing = capsys.readouterr().out
    assert "camvid.quick " in listing and "ten minutes, trained from scratch" in listing
    assert "published" not in listing
    assert main(["recipe", "show", "camvid.quick", "--set", "optim.lr=3e-4"]) == 0
    assert "lr: 0.0003" in capsys.readouterr().out


@pytest.mark.parametrize(
    "verb", ["demo", "train", "evaluate", "predict", "report", "data check", "recipe show"]
)
def test_the_help_of_a_verb_shows_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main([*verb.split(), "--help"])
    assert done.value.code == 0
    assert f"example: segwright {verb}" in " ".join(capsys.readouterr().out.split())


def test_a_reader_that_stops_early_is_no_error() -> None:
    command = f"{sys.executable} -m segwright recipe list | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert not done.stderr
