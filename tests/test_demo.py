"""The demo. Its full length is marked slow: it trains two models."""

from __future__ import annotations

import io
import json
import re
import time
from pathlib import Path

import pytest
import torch

from segwright import demo as module
from segwright.demo import PARTS, Part, Progress, clock, demo, last_step
from segwright.recipes import street


@pytest.mark.slow
def test_the_demo_scores_above_0_8_and_0_6_within_six_minutes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(2)
    start = time.monotonic()
    summary = demo(tmp_path / "demo", device="cpu")
    assert time.monotonic() - start < 360
    assert summary["miou"] >= 0.80
    assert summary["pq"] >= 0.60
    check_files(tmp_path / "demo")
    assert str(tmp_path / "demo" / "panoptic" / "report.html") in capsys.readouterr().out


def check_files(out: Path) -> None:
    summary = json.loads((out / "summary.json").read_text())
    assert summary.keys() >= {"miou", "pixel_accuracy", "report", "pq", "panoptic_report"}
    for page in ("report", "panoptic_report"):
        assert Path(summary[page]).is_file()
    for run in (out, out / "panoptic"):
        assert len(list((run / "predictions" / "overlay").iterdir())) == 4


def test_a_short_demo_prints_its_plan_each_part_and_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("SEMANTIC_STEPS", "PANOPTIC_STEPS"):
        monkeypatch.setattr(module, name, 2)
    recipes = {
        name: getattr(street, name)().tiny() for name in ("quick", "panoptic_quick")
    }  # one calls the other
    for name, recipe in recipes.items():
        recipe.data.train = recipe.data.val = 4
        monkeypatch.setattr(street, name, lambda recipe=recipe: recipe)
    demo(tmp_path / "demo", device="cpu")
    check_files(tmp_path / "demo")
    printed = capsys.readouterr()
    assert printed.err == ""  # the messages of the trainings are in the file
    assert "finished at step 2" in (tmp_path / "demo" / "demo.log").read_text()
    plan, parts, following = (
        printed.out.index(text) for text in ("about", "[1/4]", "segwright train own.semantic")
    )
    assert plan < parts < following
    for number, part in enumerate(PARTS, start=1):
        assert re.search(rf"\[{number}/4\] {part.title}: done in \d+:\d\d\n", printed.out)
    assert "\r" not in printed.out


def test_a_terminal_gets_one_line_that_is_redrawn(tmp_path: Path) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    progress = Progress((Part("count", 60), Part("fail", 5)), stream)
    (tmp_path / "log.jsonl").write_text('{"kind": "step", "step": 9}\n{"kind": "step", "step": 30}\n{"ki')
    with progress.part(0, tmp_path, 100):
        time.sleep(1.2)
    lines = stream.getvalue().split("\r")
    assert lines[1].startswith("[1/2] count: 0:00 of about 0:")
    assert "step 30 of 100" in lines[2] and "of about 0:03" in lines[2]
    assert lines[-1].endswith("[1/2] count: done in 0:01\n")
    with pytest.raises(KeyError), progress.part(1):
        raise KeyError
    assert "[2/2] fail: done" not in stream.getvalue()


def test_the_time_is_known_before_the_first_step(tmp_path: Path) -> None:
    assert last_step(None) == last_step(tmp_path) == 0
    assert [clock(seconds) for seconds in (0, 59.9, 65, 3600)] == ["0:00", "0:59", "1:05", "60:00"]
