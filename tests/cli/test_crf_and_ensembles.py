"""--crf, --crf-search, ensembles and averages of models on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests import small

import segwright
from segwright.cli.main import main
from segwright.contracts import InputContract
from segwright.data.reading.label_maps import write_png
from segwright.inference import CRFRefinement, DenseCRF, TestTimeAugmentation
from segwright.labels import LabelSpace
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.weights import write_model

RECIPE = "tests/small.py:recipe"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Two models of different architectures, and an image."""
    folder = tmp_path_factory.mktemp("models")
    paths = folder / "a.safetensors", folder / "b.safetensors", folder / "photo.png"
    for seed, path in enumerate(paths[:2]):
        torch.manual_seed(seed)
        config = SmallFPNConfig((8, 8, 8, 8), (1, 1, 1, 1), decoder_channels=8 + 8 * seed)
        write_model(path, config.build(small.LABELS, InputContract(multiple=16 << seed)), config)
    write_png(paths[2], small.Blocks().open(None, "val")[0].image)
    return paths


def index_map(out: Path) -> np.ndarray:
    import cv2

    (path,) = (out / "index").glob("*.png")
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def test_predict_with_several_models_scales_and_crf(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, b, photo = files
    options = ["--ensemble-weights", "2,1", "--flip", "--crf", "iterations=2", "bilateral_weight=3"]
    assert main(["predict", str(a), str(b), str(photo), "--out", str(tmp_path), *options]) == 0
    mode = CRFRefinement(DenseCRF(iterations=2, bilateral_weight=3.0), TestTimeAugmentation(flip=True))
    expected = segwright.predict(segwright.load([a, b], weights=[2, 1]), photo, inference=mode)
    np.testing.assert_array_equal(index_map(tmp_path), expected.semantic)


def test_a_model_given_twice_predicts_what_it_predicts_alone(
    files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    a, _, photo = map(str, files)
    assert main(["predict", a, photo, "--out", str(tmp_path / "alone")]) == 0
    assert main(["predict", a, a, photo, "--out", str(tmp_path / "twice")]) == 0
    np.testing.assert_array_equal(index_map(tmp_path / "twice"), index_map(tmp_path / "alone"))


def test_evaluate_with_several_models_and_crf_records_them(
    files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    a, b, _ = map(str, files)
    command = ["evaluate", "--recipe", RECIPE, "--json", str(tmp_path / "scores.json"), a, b]
    assert main([*command, "--crf", "iterations=1"]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["model"] == f"{a}, {b}"
    assert scores["crf"]["iterations"] == 1 and scores["crf"]["bilateral_sigma_rgb"] == 3.0
    dataset = small.Blocks().open(None, "val")
    mode = CRFRefinement(DenseCRF(iterations=1))
    expected = segwright.evaluate(segwright.load([a, b]), dataset, inference=mode)
    assert scores["miou"] == expected.scores.miou


def test_the_search_for_crf_parameters_prints_and_writes_all_scores(
    files: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", str(files[0]), "--recipe", RECIPE, "--json", str(tmp_path / "search.json")]
    assert main([*command, "--crf-search", "iterations=1", "bilateral_sigma_rgb=3,30"]) == 0
    assert "best: --crf iterations=1 bilateral_sigma_rgb=" in capsys.readouterr().out
    rows = json.loads((tmp_path / "search.json").read_text())["crf_search"]
    assert sorted(row["crf"]["bilateral_sigma_rgb"] for row in rows if row["crf"]) == [3.0, 30.0]
    assert [row["miou"] for row in rows] == sorted((row["miou"] for row in rows), reverse=True)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["evaluate", "A", "--recipe", RECIPE, "--crf", "iteration=5"], "no field 'iteration'; did you mean"),
        (["evaluate", "A", "--recipe", RECIPE, "--crf", "iterations=x"], "--crf iterations=x"),
        (["evaluate", "A", "--recipe", RECIPE, "--crf", "gaussian_sigma=0"], "gaussian_sigma is 0"),
        (["predict", "A", "PHOTO", "--out", "OUT", "--crf", "PHOTO"], "write it before --crf"),
        (
            ["evaluate", "A", "--recipe", RECIPE, "--crf", "--crf-search"],
            "--crf has no effect with --crf-search",
        ),
        (["evaluate", "A", "--recipe", RECIPE, "--crf-search", "iterations"], "expected FIELD=VALUE"),
        (["predict", "A", "PHOTO", "--out", "OUT", "--ensemble-weights", "1"], "no effect on one model"),
        (["predict", "A", "B", "PHOTO", "--out", "OUT", "--ensemble-weights", "1,2,3"], "expected 2 numbers"),
        (["predict", "A", "B", "PHOTO", "--out", "OUT", "--ensemble-weights", "1;2"], "expected numbers"),
        (["predict", "A", "B", "--out", "OUT"], "expected images behind the models"),
        (["predict", "A", "PHOTO", "B", "--out", "OUT"], "a model behind an image"),
        (["average", "A", "B", "--out", "OUT.safetensors"], "decoder_channels: 16, and decoder_channels: 8"),
        (["average", "A", "--out", "OUT.safetensors"], "an average of 1 models"),
        (["average", "A", "A", "--out", "OUT.pth"], "ends in .safetensors"),
    ],
)
def test_wrong_use_is_one_line(
    files: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    text: str,
) -> None:
    names = dict(zip(("A", "B", "PHOTO"), map(str, files), strict=True))
    for name in ("OUT", "OUT.safetensors", "OUT.pth"):
        names[name] = str(tmp_path / name)
    assert main([names.get(argument, argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_average_writes_a_model_of_the_mean_weights(
    files: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = SmallFPNConfig((8, 8, 8, 8), (1, 1, 1, 1), decoder_channels=8)
    models = []
    for seed in range(3):
        torch.manual_seed(seed)
        model = config.build(small.LABELS, InputContract())
        for buffer in model.buffers():
            buffer.copy_(torch.full_like(buffer, seed + 3))
        write_model(tmp_path / f"{seed}.safetensors", model, config)
        models.append(model.state_dict())
    out = tmp_path / "mean.safetensors"
    command = ["average", *(str(tmp_path / f"{seed}.safetensors") for seed in range(3)), "--out", str(out)]
    assert main(command) == 0
    assert "average of 3 models" in capsys.readouterr().out
    mean = segwright.load(out)
    assert mean.labels == small.LABELS and not mean.training
    for name, values in mean.state_dict().items():
        if values.is_floating_point():
            expected = torch.stack([model[name].double() for model in models]).mean(0).float()
        else:
            expected = models[0][name]
        torch.testing.assert_close(values, expected, rtol=0, atol=0)


def test_the_average_of_a_model_with_itself_is_the_model(
    files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    a = str(files[0])
    assert main(["average", a, a, "--out", str(tmp_path / "same.safetensors")]) == 0
    alone, same = segwright.load(a).state_dict(), segwright.load(tmp_path / "same.safetensors").state_dict()
    assert all(torch.equal(alone[name], same[name]) for name in alone)


def test_average_names_the_first_difference(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    config = SmallFPNConfig((8, 8, 8, 8), (1, 1, 1, 1), decoder_channels=8)
    others = {
        "class 1 is 'green', and 'red'": (LabelSpace.of("dark", "green", "blue"), InputContract(multiple=16)),
        "input.channels is BGR, and RGB": (small.LABELS, InputContract("BGR", multiple=16)),
    }
    for text, (labels, input) in others.items():
        path = tmp_path / "other.safetensors"
        write_model(path, config.build(labels, input), config)
        with pytest.raises(segwright.UserError, match=text):
            segwright.models.weights.average_models([files[0], path], tmp_path / "mean.safetensors")
    broken = segwright.load(files[0])
    next(broken.parameters()).data[0] = float("nan")
    write_model(tmp_path / "broken.safetensors", broken, config)
    for pair in ([files[0], tmp_path / "broken.safetensors"], [tmp_path / "broken.safetensors", files[0]]):
        with pytest.raises(segwright.UserError, match=r"broken\.safetensors: .* contains infinity or NaN"):
            segwright.models.weights.average_models(pair, tmp_path / "mean.safetensors")
    assert not (tmp_path / "mean.safetensors").exists()
