from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests import small
from tests.export.exported import recipe_model

import segwright as sw
from segwright.contracts import Model
from segwright.export import Parity, export_model

pytest.importorskip("onnxruntime")
SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "predict_onnx.py"


def photograph(shared: Path) -> Path:
    return min((shared / "data").rglob("*.jpg"))


def check(python: str, model: Model, onnx: Path, photo: Path, out: Path) -> None:
    """The map that the script writes equals that of segwright, at nearly all pixels: JPEG decoders may round."""
    arguments = [python, "-I", str(SCRIPT), str(onnx), str(photo), str(out)]
    subprocess.run(arguments, check=True, cwd=out.parent)
    expected = model.labels.to_raw(sw.predict(model, photo).semantic)
    actual = np.asarray(Image.open(out))
    assert actual.shape == expected.shape
    assert (actual == expected).mean() >= 0.999


def test_the_script_has_at_most_thirty_lines_and_four_imports() -> None:
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 30
    imported = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}
    assert imported == {"json", "sys", "numpy", "onnxruntime", "PIL"}


def test_the_script_predicts_what_segwright_predicts(
    semantic: Model, semantic_onnx: tuple[Path, Parity], shared: Path, tmp_path: Path
) -> None:
    check(sys.executable, semantic, semantic_onnx[0], photograph(shared), tmp_path / "out.png")


def test_the_script_predicts_more_than_255_classes(shared: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    labels = sw.LabelSpace.of(*(f"class {index}" for index in range(300)))
    model = small.TINY.build(labels, sw.InputContract()).eval()
    export_model(model, tmp_path / "model.onnx", postprocessing=True)
    with Image.open(photograph(shared)) as photo:
        photo.resize((171, 128)).save(tmp_path / "photo.jpg")
    check(sys.executable, model, tmp_path / "model.onnx", tmp_path / "photo.jpg", tmp_path / "out.png")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["street.quick", "street.panoptic_quick"])
def test_the_script_runs_where_neither_segwright_nor_torch_is_installed(
    name: str, shared: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "clean", with_pip=True)
    python = str(tmp_path / "clean" / "bin" / "python")
    packages = ["onnxruntime", "numpy", "pillow"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    for package in ("torch", "segwright"):
        assert subprocess.run(
            [python, "-I", "-c", f"import {package}"], capture_output=True, check=False
        ).returncode
    model = recipe_model(name)
    export_model(model, tmp_path / "model.onnx", postprocessing=True)
    check(python, model, tmp_path / "model.onnx", photograph(shared), tmp_path / "out.png")
