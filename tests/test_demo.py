"""The demo: marked slow, for it trains for four minutes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from segwright.demo import demo


@pytest.mark.slow
def test_the_demo_scores_above_0_8_within_six_minutes(tmp_path: Path) -> None:
    torch.set_num_threads(2)
    start = time.monotonic()
    summary = demo(tmp_path / "demo", device="cpu")
    assert time.monotonic() - start < 360
    assert summary["miou"] >= 0.80
    assert summary["pq"] >= 0.40
    written = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert written.keys() >= {"miou", "pixel_accuracy", "report", "pq", "panoptic_report"}
    for page in ("report", "panoptic_report"):
        assert Path(written[page]).is_file()
    for run in (tmp_path / "demo", tmp_path / "demo" / "panoptic"):
        assert len(list((run / "predictions" / "overlay").iterdir())) == 4
