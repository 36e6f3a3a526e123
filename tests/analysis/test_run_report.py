from __future__ import annotations

from pathlib import Path

import pytest
from tests import small

from segwright.analysis.run_report import report
from segwright.errors import UserError
from segwright.training.train import train


def test_the_report_of_a_run_shows_its_worst_and_best_images(tmp_path: Path) -> None:
    code = Path(small.__file__)
    from segwright.config import load_code

    train(load_code(code).recipe(), None, tmp_path / "run", device="cpu")
    path = report(tmp_path / "run", worst=2, best=1, code=code)
    page = path.read_text(encoding="utf-8")
    assert path == tmp_path / "run" / "report.html"
    assert page.count("data:image/") >= 4
    assert "val_" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        report(tmp_path)
