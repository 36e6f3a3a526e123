"""The tutorial: its notebook runs as it is, with smaller numbers, and says the same as the page."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from segwright.files import read_json
from tests.test_documents import snippets

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTEBOOK = DOCS / "tutorial.ipynb"
SMALL = "TRAIN, VAL, STEPS = 4, 3, 2"


def cells() -> list[dict[str, Any]]:
    return [dict(cell) for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]]


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the cell with the tag "parameters" is followed by smaller numbers, as papermill does it."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (position,) = [
        i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])
    ]
    notebook.cells.insert(position + 1, nbformat.v4.new_code_cell(SMALL))
    client = nbclient.NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    text = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ())
    )  # what the cells print, also those of the shell
    assert "segwright: " not in text and "command not found" not in text, text
    assert "train: 4 images, 0 errors" in text
    assert read_json(tmp_path / "runs/scenes/summary.json")["step"] == 2
    assert (tmp_path / "runs/scenes/report.html").is_file()
    pictures = [
        o for cell in notebook.cells for o in cell.get("outputs", ()) if "image/png" in o.get("data", {})
    ]
    assert len(pictures) == 3  # label maps, validation images, the prediction
    monkeypatch.chdir(tmp_path)
    (code,) = snippets(DOCS / "tutorial.md")
    names: dict[str, Any] = {}
    exec(compile(code, "docs/tutorial.md", "exec"), names)
    assert names["overlay"].shape == (240, 360, 3)


def test_the_notebook_has_no_outputs_and_starts_with_the_installation() -> None:
    codes = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in codes)
    assert "".join(codes[0]["source"]).startswith("%pip install")


def test_page_and_notebook_use_the_same_data_and_recipe() -> None:
    page = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    notebook = "".join("".join(cell["source"]) + "\n" for cell in cells())
    (convert,) = re.findall(r"segwright data convert .*", page)
    values = dict(re.findall(r"(train|val)=(\d+)", convert))
    filled = notebook.replace("{TRAIN}", values["train"]).replace("{VAL}", values["val"])
    assert convert in filled
    for text in ("segwright data check scenes", "own.semantic", "runs/scenes"):
        assert text in page and text in notebook
    (steps,) = set(re.findall(r"training.steps=(\d+)", page))
    assert f"TRAIN, VAL, STEPS = {values['train']}, {values['val']}, {steps}" in notebook
