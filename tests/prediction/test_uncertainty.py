"""Uncertainty of predictions as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.small import LABELS, Blocks, recipe

from segwright.cli.main import main
from segwright.contracts import InputContract
from segwright.data.reading.label_maps import read_map, write_png
from segwright.decode.default import decoder_of
from segwright.decode.uncertainty import WithUncertainty
from segwright.models.weights.model_file import write_model
from segwright.prediction.predict import load, predict


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path, config = tmp_path / "model.safetensors", recipe().model
    write_model(path, config.build(LABELS, InputContract()), config)
    return path


def test_entropy_is_written_with_16_bits(model_file: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    write_png(photo, Blocks().open(None, "val")[0].image)
    out = tmp_path / "out"
    assert main(["predict", str(model_file), str(photo), "--out", str(out), "--save", "uncertainty"]) == 0
    model = load(model_file)
    prediction = predict(model, photo, decoder=WithUncertainty(decoder_of(model))).prediction
    assert prediction.uncertainty is not None
    written = read_map(out / "uncertainty" / "photo.png")
    assert written.dtype == np.uint16
    np.testing.assert_allclose(written / 65535, prediction.uncertainty.entropy, atol=1e-4)
    assert (out / "overlay" / "photo.png").is_file()


def test_disagreement_needs_several_passes(
    model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, out = tmp_path / "photo.png", tmp_path / "out"
    write_png(photo, Blocks().open(None, "val")[0].image)
    assert main(["predict", str(model_file), str(photo), "--out", str(out), "--save", "disagreement"]) == 2
    assert "a single pass over each image" in capsys.readouterr().err
    arguments = [
        "predict",
        str(model_file),
        str(photo),
        "--out",
        str(out),
        "--save",
        "disagreement,uncertainty",
    ]
    assert main([*arguments, "--flip", "--scales", "0.5", "1"]) == 0
    disagreement, entropy = (read_map(out / kind / "photo.png") for kind in ("disagreement", "uncertainty"))
    assert disagreement.any()
    assert (disagreement <= entropy).all()
