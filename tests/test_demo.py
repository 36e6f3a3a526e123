"""The demo: marked slow, for it trains for two minutes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from segwright.demo import demo


@pytest.mark.slow
def test_the_demo_scores_above_0_8_within_four_minutes(tmp_path: Path) -> None:
    torch.set_num_threads(2)
    start = time.monotonic()
    summary = demo(tmp_path / "demo", device="cpu")
    assert time.monotonic() - start < 240
    assert summary["miou"] >= 0.80
    written = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert written.keys() >= {"miou", "pixel_accuracy", "report"}
    assert Path(written["report"]).is_file()
    assert len(list((tmp_path / "demo" / "predictions" / "overlay").iterdir())) == 4
