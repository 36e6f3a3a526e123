from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segwright.data.reading.label_maps import write_png
from segwright.errors import UserError
from segwright.evaluation.files.vistas import score_vistas

LABELS = [
    ("animal--bird", "Bird", True, True),
    ("construction--road", "Road", False, True),
    ("object--car", "Car", True, True),
    ("void--car-mount", "Car Mount", True, False),
    ("void--unlabeled", "Unlabeled", False, False),
]


def write_config(root: Path) -> Path:
    rows = [
        {"name": name, "readable": title, "color": [i, i, i], "instances": thing, "evaluate": evaluate}
        for i, (name, title, thing, evaluate) in enumerate(LABELS)
    ]
    path = root / "config_v1.2.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"labels": rows}))
    return path


def vistas(root: Path) -> tuple[Path, Path, Path]:
    """Two images: a car each, number 0 and number 7, and a bird; the first car is found, the bird in part."""
    truth = np.full((40, 50), 1 * 256, np.uint16)
    truth[:20, :20], truth[20:, 30:] = 2 * 256, 0 * 256 + 3
    other = np.full((40, 50), 4 * 256, np.uint16)
    other[5:25, 5:25] = 2 * 256 + 7
    write_png(root / "gt" / "a.png", truth)
    write_png(root / "gt" / "sub" / "b.png", other)
    write_png(root / "found" / "masks" / "car.png", (truth == 512).astype(np.uint8) * 255)
    bird = np.zeros(truth.shape, np.uint8)
    bird[20:, 35:] = 1
    write_png(root / "found" / "masks" / "bird.png", bird)
    lines = "# mask label score\nmasks/car.png 2 0.9\nmasks/bird.png animal--bird 0.7\nmasks/car.png 1 0.5\n"
    (root / "found" / "a.txt").write_text(lines)
    (root / "found" / "sub").mkdir()
    (root / "found" / "sub" / "b.txt").write_text("")
    return root / "gt", root / "found", write_config(root)


def test_instances_are_scored_by_the_rules_of_vistas(tmp_path: Path) -> None:
    result = score_vistas(*vistas(tmp_path))
    assert result["images"] == 2
    assert list(result["class"]) == ["Bird", "Car"]
    assert result["class"]["Car"]["ap"] == pytest.approx(0.5)  # one of two, at every overlap
    assert result["class"]["Bird"]["ap_by_overlap"]["0.70"] == 1  # the IoU is 3/4
    assert result["class"]["Bird"]["ap_by_overlap"]["0.80"] == 0
    assert result["all"]["n"] == 2
    json.dumps(result)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "found" / "a.txt").unlink(), r"a\.txt: does not exist, like 1 of 2 lists"),
        (lambda root: (root / "config_v1.2.json").write_text("{}"), r"config_v1\.2\.json: not a config of Vistas"),
        (lambda root: (root / "found" / "a.txt").write_text("masks/car.png tree 1"), "line 1 is 'masks/car"),
        (lambda root: (root / "found" / "a.txt").write_text("car.png 2 1"), r"car\.png: does not exist"),
        (lambda root: write_png(root / "gt" / "a.png", np.zeros((4, 4), np.uint8)), r"a\.png: values are uint8"),
        (lambda root: write_png(root / "gt" / "a.png", np.full((40, 50), 2000, np.uint16)), r"contains label 7, which"),
    ],
)  # fmt: skip
def test_what_is_missing_or_does_not_fit_is_named(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    files = vistas(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        score_vistas(*files)


def test_a_folder_without_maps_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file \*\.png"):
        score_vistas(tmp_path, tmp_path, write_config(tmp_path))
