"""What the command line imports: scores, data checks and wrong names and paths must not wait for torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from tests.cli.test_arguments import VERBS
from tests.data.formats.test_image_dataset import fake_camvid
from tests.evaluation.files.test_instance import files
from tests.evaluation.files.test_panoptic import pair

from segwright.data.reading.label_maps import write_png
from segwright.export.load import RUNTIMES
from segwright.model_paths import EXPORTED_SUFFIXES

SCRIPT = """
import contextlib, io, json, sys
from segwright.cli.main import main
results = []
for arguments in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = main(arguments)
    results.append((code, said.getvalue(), "torch" in sys.modules))
json.dump(results, sys.stdout)
"""

REFUSED = {  # in a folder with the file run/best.safetensors alone
    "data check nothng": "unknown dataset 'nothng'",
    "data check camvid.quick --data nowhere": "nowhere: no such folder",
    "data stats camvid.quik": "did you mean 'camvid.quick'",
    "data stats camvid --data nowhere": "nowhere: no such folder",
    "data show camvid.quik": "did you mean 'camvid.quick'",
    "data show camvid --data nowhere": "nowhere: no such folder",
    "data show camvid.quick --out sheet.bmp": "the ending '.bmp' is unknown",
    "data get camvd": "did you mean 'camvid'",
    "data split nowhere --val 0.2": "nowhere: no such folder",
    "data convert nowhere --to yolo --out out": "nowhere: no such folder",
    "recipe show camvid.quik": "did you mean 'camvid.quick'",
    "recipe show mine.yaml": "mine.yaml: does not exist",
    "recipe suggest nothng": "unknown dataset 'nothng'",
    "recipe suggest folder --data nowhere": "nowhere: no such folder",
    "models convnxt": "did you mean convnext",
    "train camvid.quik": "did you mean 'camvid.quick'",
    "train mine.yaml": "mine.yaml: does not exist",
    "train camvid.quick --data nowhere": "nowhere: no such folder",
    "train camvid.quick --init nowhere": "nowhere: file does not exist",
    "evaluate nowhere": "nowhere: file does not exist",
    "evaluate nowhere.onnx": "expected a file of 'segwright export'",
    "evaluate run": "run: no recipe.yaml in its folder",
    "evaluate run --recipe camvid.quik": "did you mean 'camvid.quick'",
    "evaluate run --recipe camvid.quick --data nowhere": "nowhere: no such folder",
    "report run": "run: not a run folder that was evaluated",
    "predict nowhere photo.jpg --out out": "nowhere: file does not exist",
    "predict run photo.jpg --out out": "photo.jpg: does not exist",
    "predict run --out out": "nothing to predict",
    "serve nowhere": "nowhere: file does not exist",
    "export nowhere --out model.onnx": "nowhere: file does not exist",
    "export run --out model.onnx --recipe camvid.quik": "did you mean 'camvid.quick'",
    "export run --out model.onnx --images nowhere": "nowhere: does not exist",
    "score semantic --truth nowhere --prediction run --labels cityscape": "did you mean 'cityscapes'",
    "score semantic --truth nowhere --prediction run --labels cityscapes": "nowhere: no such folder",
    "score panoptic --truth nowhere.json --prediction run": "nowhere.json",
    "score instance --truth nowhere.json --prediction run": "nowhere.json",
    "score sequence --kind stq --truth nowhere --prediction run": "nowhere: no such folder",
    "info camvid.quik": "did you mean 'camvid.quick'",
    "info ./nowhere": "nowhere: file does not exist",
    "bench camvid.quik": "did you mean 'camvid.quick'",
    "bench nowhere.safetensors": "nowhere.safetensors: file does not exist",
    "average run nowhere --out mean.safetensors": "nowhere: file does not exist",
    "convert nowhere.pth --family toolbox --out model.safetensors": "nowhere.pth: file does not exist",
}


def results(folder: Path, *commands: tuple[object, ...]) -> list[tuple[int, str, bool]]:
    """Of each command its exit code, what it said, and whether torch was imported; in one process, in ``folder``."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps([[*map(str, command)] for command in commands]),
        capture_output=True, text=True, check=True, cwd=folder,
    )  # fmt: skip
    return [tuple(result) for result in json.loads(done.stdout)]


def test_wrong_names_and_paths_are_refused_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.safetensors").touch()
    refused = results(tmp_path, *(command.split() for command in REFUSED))
    for (command, message), (code, said, torch) in zip(REFUSED.items(), refused, strict=True):
        assert (code, torch) == (2, False), f"{command}: {said}"
        assert message in said and said.count("\n") == 1, f"{command}: {said}"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_every_verb_with_a_name_or_a_path_is_among_them() -> None:
    tried = {
        verb for verb in VERBS if any(f"{command} ".startswith(f"{' '.join(verb)} ") for command in REFUSED)
    }
    assert {*VERBS} - tried == {("demo",), ("doctor",), ("recipe", "list")}


def test_exported_files_are_known_by_their_suffixes() -> None:
    assert tuple(RUNTIMES) == EXPORTED_SUFFIXES


def test_scores_data_checks_and_lists_run_without_torch(tmp_path: Path) -> None:
    for name in ("truth", "prediction"):
        write_png(tmp_path / name / "1.png", np.array([[7, 11, 26]], np.uint8))
    semantic = (
        "score",
        "semantic",
        "--truth",
        "truth",
        "--prediction",
        "prediction",
        "--labels",
        "cityscapes",
    )
    further = ("--metrics", "BoundaryIoU,CategoryIoU", "--confusion", "confusion.csv", "--json", "iou.json")
    (tmp_path / "panoptic").mkdir()
    truth, prediction = pair(tmp_path / "panoptic")
    (tmp_path / "instance").mkdir()
    objects, found = files(tmp_path / "instance")
    camvid = ("--data", fake_camvid(tmp_path / "camvid"))
    commands: tuple[tuple[object, ...], ...] = (
        ("recipe", "list"),
        semantic,
        (*semantic, *further),
        ("score", "panoptic", "--truth", truth, "--prediction", prediction),
        ("score", "instance", "--truth", objects, "--prediction", found),
        ("data", "check", "camvid", *camvid, "--workers", 2),
        ("data", "show", "camvid", *camvid),
    )
    for command, (code, said, torch) in zip(commands, results(tmp_path, *commands), strict=True):
        assert (code, torch) == (0, False), f"{command}: {said}"
    assert json.loads((tmp_path / "iou.json").read_text())["miou"] == 1


def test_the_help_imports_neither_torch_nor_numpy() -> None:
    script = (
        "import sys; from segwright.cli.main import build_parser; build_parser().format_help(); "
        "print(sorted({'torch', 'numpy', 'yaml', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
