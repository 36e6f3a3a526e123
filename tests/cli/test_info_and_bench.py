"""The verbs info and bench."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from tests.small import recipe

from segwright.cli.main import main
from segwright.contracts import InputContract
from segwright.labels import LabelSpace
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.weights.model_file import write_model
from segwright.training.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tools") / "run"
    train(recipe(), None, folder, device="cpu")
    return folder


def test_info_says_what_a_run_is(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "info.json"
    assert main(["info", str(run), "--size", "60,100", "--json", str(out)]) == 0
    info = json.loads(out.read_text())
    weights = run / "best.safetensors"
    assert info["file"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert info["file"]["bytes"] == weights.stat().st_size
    assert info["labels"]["names"] == ["dark", "red", "blue"]
    assert info["cost"]["size"] == [64, 128]
    assert info["cost"]["parameters"] > 0 < info["cost"]["flops"]
    assert info["training"]["step"] == info["training"]["steps"] == 12
    assert 0 <= info["training"]["scores"]["miou"] <= 1
    text = capsys.readouterr().out
    for part in ("SmallFPNConfig", "GFLOPs", "dark, red, blue", info["file"]["sha256"], "step 12 of 12"):
        assert part in text


def test_info_prints_the_origin_that_a_file_contains(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with safe_open(str(run / "best.safetensors"), framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata()) | {"license": "BSD-3-Clause", "source": "https://example.org/w.pth"}
    save_file(tensors, tmp_path / "model.safetensors", metadata=metadata)
    assert main(["info", str(tmp_path / "model.safetensors"), "--json", str(tmp_path / "i.json")]) == 0
    assert "BSD-3-Clause" in capsys.readouterr().out
    info = json.loads((tmp_path / "i.json").read_text())
    assert info["origin"] == {"license": "BSD-3-Clause", "source": "https://example.org/w.pth"}
    assert info["training"] is None


def test_info_prints_where_pretrained_weights_are_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = SmallFPNConfig(channels=(8, 8), depths=(1, 1), stem_channels=8, decoder_channels=8)
    write_model(tmp_path / "m.safetensors", config.build(LabelSpace.of("a", "b"), InputContract()), config)
    with safe_open(str(tmp_path / "m.safetensors"), framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata())
    record = {"backbone": "resnet18", "license": "apache-2.0", "sha256": "ab12", "mean": [1.0, 2.0, 3.0]}
    metadata["pretrained"] = json.dumps([record])
    save_file(tensors, tmp_path / "m.safetensors", metadata=metadata)
    assert main(["info", str(tmp_path / "m.safetensors"), "--json", str(tmp_path / "i.json")]) == 0
    assert json.loads((tmp_path / "i.json").read_text())["origin"] == {"pretrained": [record]}
    assert "backbone resnet18, license apache-2.0, sha256 ab12" in capsys.readouterr().out


def test_info_of_a_recipe_needs_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "camvid.quick"]) == 0
    assert "bicyclist" in capsys.readouterr().out


@pytest.mark.parametrize("fast", [False, True])
def test_bench_measures_every_stage(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, fast: bool
) -> None:
    out = tmp_path / "bench.json"
    arguments = ["bench", str(run), "--size", "40,56", "--batch", "2", "--seconds", "0", "--json", str(out)]
    assert main([*arguments, "--device", "cpu", "--largest-batch", *(["--fast"] if fast else [])]) == 0
    values = json.loads(out.read_text())
    assert list(values["stages"]) == ["read", "prepare", "network", "decode", "write"]
    assert all(seconds > 0 for seconds in values["stages"].values())
    latency = values["latency"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
    assert values["images_per_second"] == pytest.approx(2 / latency["p50"])
    assert values["batches"] >= 5
    assert values["largest_batch"] >= 1
    assert ("speedup" in values) == ("baseline" in values) == fast
    assert "images per second" in capsys.readouterr().out


def test_bench_of_a_recipe_has_random_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["bench", "street.panoptic_quick", "--size", "64,64", "--seconds", "0", "--device", "cpu"]) == 0
    )
    assert "latency" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "runs/absent"], "does not exist"),
        (["info", "camvid.quik"], "did you mean 'camvid.quick'"),
        (["info", "own.semantic"], "--data ROOT"),
    ],
)
def test_wrong_use_ends_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_data_of_a_trained_model_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(run), "--data", "."]) == 2
    assert "--data has no effect" in capsys.readouterr().err


def test_a_size_is_height_and_width(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "camvid.quick", "--size", "512"])
    assert "expected height and width" in capsys.readouterr().err


def test_fast_predicts_and_evaluates(run: Path, tmp_path: Path) -> None:
    import numpy as np

    from segwright.data.reading.label_maps import write_png

    write_png(tmp_path / "a.png", np.zeros((40, 56, 3), np.uint8))
    assert main(["predict", str(run), str(tmp_path / "a.png"), "--out", str(tmp_path / "o"), "--fast"]) == 0
    assert (tmp_path / "o" / "index" / "a.png").is_file()
