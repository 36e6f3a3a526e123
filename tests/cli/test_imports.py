"""What the command line imports: scores, data checks and names of recipes must not wait for torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.data.formats.test_image_dataset import fake_camvid
from tests.evaluation.files.test_instance import files
from tests.evaluation.files.test_panoptic import pair

from segwright.data.reading.label_maps import write_png

SCRIPT = "import sys; from segwright.cli.main import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"


def last_line(*arguments: object) -> str:
    """Exit code of a verb in a process of its own, and whether that process imported torch."""
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def semantic(folder: Path) -> tuple[object, ...]:
    for name in ("truth", "prediction"):
        write_png(folder / name / "1.png", np.array([[7, 11, 26]], np.uint8))
    sides = ("--truth", folder / "truth", "--prediction", folder / "prediction")
    return ("score", "semantic", *sides, "--labels", "cityscapes", "--json", folder / "iou.json")


def panoptic(folder: Path) -> tuple[object, ...]:
    truth, prediction = pair(folder)
    return ("score", "panoptic", "--truth", truth, "--prediction", prediction)


def instance(folder: Path) -> tuple[object, ...]:
    truth, prediction = files(folder)
    return ("score", "instance", "--truth", truth, "--prediction", prediction)


def semantic_with_metrics(folder: Path) -> tuple[object, ...]:
    return (
        *semantic(folder),
        "--metrics",
        "BoundaryIoU,CategoryIoU",
        "--confusion",
        folder / "confusion.csv",
    )


def check(folder: Path) -> tuple[object, ...]:
    return ("data", "check", "camvid", "--data", fake_camvid(folder / "camvid"), "--workers", 2)


@pytest.mark.parametrize("verb", [("recipe", "show"), ("train",), ("info",), ("bench",), ("data", "check")])
def test_the_names_of_recipes_are_known_without_torch(verb: tuple[str, ...]) -> None:
    assert last_line(*verb, "camvid.quik") == "2 False"


def test_recipes_are_listed_without_torch() -> None:
    assert last_line("recipe", "list") == "0 False"


@pytest.mark.parametrize("verb", [semantic, semantic_with_metrics, panoptic, instance, check])
def test_scores_and_data_checks_run_without_torch(verb, tmp_path: Path) -> None:
    assert last_line(*verb(tmp_path)) == "0 False"
    for written in tmp_path.glob("iou.json"):
        assert json.loads(written.read_text())["miou"] == 1


def test_the_help_imports_neither_torch_nor_numpy() -> None:
    script = (
        "import sys; from segwright.cli.main import build_parser; build_parser().format_help(); "
        "print(sorted({'torch', 'numpy', 'yaml', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
