"""Names that are no text: halves of characters in class names, file names that are not UTF-8."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.data.trees import stripes

from segwright.cli.main import main
from segwright.data.reading.label_maps import write_png
from segwright.files import write_text
from segwright.labels import LabelSpace


def folder(root: Path, *names: str, stem: str = "") -> Path:
    for split in ("train", "val"):
        for number in range(2):
            image = np.random.default_rng((len(split), number)).integers(0, 255, (12, 16, 3), np.uint8)
            write_png(root / "images" / split / f"{split}{number}{stem}.png", image)
            write_png(root / "labels" / split / f"{split}{number}{stem}.png", stripes(0, 1))
    (root / "classes.json").write_text(json.dumps({"classes": {name: i for i, name in enumerate(names)}}))
    return root


def test_half_of_a_character_in_a_class_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r"class name 'a\\ud800' is damaged text"):
        LabelSpace.of("a\ud800")
    folder(tmp_path, "a", "b\ud800")
    assert main(["data", "stats", "folder", "--data", str(tmp_path), "--workers", "0"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert LabelSpace.of("emoji \U0001f600").names == ("emoji \U0001f600",)


def test_control_characters_in_class_names_are_written_and_read(tmp_path: Path) -> None:
    folder(tmp_path, "a\nb", "c\x1b[31m\t\0")
    for verb in (["check"], ["stats", "--html", str(tmp_path / "page.html")]):
        assert main(["data", verb[0], "folder", "--data", str(tmp_path), "--workers", "0", *verb[1:]]) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode there")
def test_file_names_that_are_not_utf_8_are_used_by_every_verb(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", "a", "b", stem=os.fsdecode(b"\xff\xfe"))
    run, data = str(tmp_path / "run"), ["--data", str(root)]
    changes = ["--set", "training.steps=1", "training.batch=2", "training.workers=0", "--device", "cpu"]
    assert main(["data", "check", "folder", *data, "--workers", "0", "--json", str(tmp_path / "c.json")]) == 0
    assert main(["train", "own.semantic", *data, "--out", run, *changes]) == 0
    assert main(["evaluate", run, "--json", str(tmp_path / "e.json"), "--device", "cpu"]) == 0
    assert main(["report", run]) == 0
    out = tmp_path / "out"
    assert main(["predict", run, str(root / "images" / "val"), "--out", str(out), "--device", "cpu"]) == 0
    written = sorted(path.name for path in (out / "index").iterdir())
    assert written == sorted(path.name for path in (root / "labels" / "val").iterdir())


def test_text_files_show_such_names_as_escapes(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "a\udcff")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "a\\udcff"
