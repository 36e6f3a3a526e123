from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.export.exported import SEMANTIC, images, recipe_model

import segwright as sw
from segwright.contracts import Model
from segwright.data.loading.batches import pad_and_stack
from segwright.data.reading.label_maps import write_png
from segwright.decode.query import QueryDecoder
from segwright.errors import RunError, UserError
from segwright.export import Parity, export_model, load_exported
from segwright.export.description import Description
from segwright.export.exported_model import UnexpectedSize
from segwright.export.parity import measure_parity
from segwright.files import checksum
from segwright.inference.sliding_windows import SlidingWindows
from segwright.inference.test_time_augmentation import TestTimeAugmentation
from segwright.models.weights.model_file import write_model
from segwright.prediction.predict_files import predict_files
from segwright.recipes import load_recipe

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def panoptic() -> Model:
    return recipe_model("street.panoptic_quick")


@pytest.fixture(scope="module")
def panoptic_onnx(panoptic: Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Parity]:
    path = tmp_path_factory.mktemp("panoptic") / "model.onnx"
    samples = images(panoptic, (90, 121), (136, 100))
    exported = export_model(panoptic, path, postprocessing=True, samples=samples, ground_truth=False)
    assert exported.parity is not None
    return path, exported.parity


def test_an_exported_model_predicts_what_the_original_predicts(semantic_onnx: tuple[Path, Parity]) -> None:
    _, parity = semantic_onnx
    assert parity.images == 3
    assert parity.sizes == ((64, 72), (90, 121), (131, 50))
    assert parity.equal_pixels >= 0.9999
    assert parity.equal_map_pixels is not None and parity.equal_map_pixels >= 0.9999
    assert parity.max_logit_difference < 1e-3
    assert abs(parity.score_difference) < 1e-4
    assert {*parity.latency} == {"original", "exported"}
    assert all(0 < times["p50"] <= times["p95"] for times in parity.latency.values())
    assert json.loads(json.dumps(parity.to_json()))["ground_truth"] == "original"


def test_the_comparison_leaves_the_model_in_its_mode(
    semantic_onnx: tuple[Path, Parity], semantic: Model
) -> None:
    model = copy.deepcopy(semantic).train()
    parity = measure_parity(
        model, load_exported(semantic_onnx[0]), images(model, (64, 72)), ground_truth=False
    )
    assert parity.equal_pixels >= 0.9999
    assert all(module.training for module in model.modules())


@pytest.mark.slow
def test_the_panoptic_map_comes_from_the_file(panoptic_onnx: tuple[Path, Parity], panoptic: Model) -> None:
    path, parity = panoptic_onnx
    assert parity.equal_pixels >= 0.9999
    assert parity.equal_map_pixels is not None and parity.equal_map_pixels >= 0.999
    exported = load_exported(path)
    (sample,) = images(panoptic, (90, 121))
    prediction = sw.predict(panoptic, sample.image)
    assert prediction.panoptic is not None
    assert len(np.unique(prediction.panoptic)) > 3
    tensor, _ = pad_and_stack([sample.image], panoptic.input)
    maps = exported.maps(panoptic.input.normalize(tensor), (90, 121))
    assert (maps["panoptic"][0, :90, :121] == prediction.panoptic).mean() >= 0.999
    assert (maps["panoptic"][0, 90:] == -1).all()


@pytest.mark.slow
def test_the_maps_of_a_query_model_come_from_the_file(tmp_path: Path) -> None:
    model = recipe_model("eomt.street_panoptic")
    model.decoder = QueryDecoder(threshold=0.0, overlap_threshold=0.0)
    side = 4 * model.input.multiple
    exported = export_model(model, tmp_path / "q.onnx", size=(side, side), postprocessing=True).model
    assert exported.description.maps == ("semantic", "panoptic")
    (sample,) = images(model, (side - 7, side - 3))
    tensor, sizes = pad_and_stack([sample.image], model.input)
    normalized = model.input.normalize(tensor)
    # Queries of random weights are nearly alike, so the maps are compared for the same output of the network.
    with torch.inference_mode():
        output = exported.outputs(normalized)
        (expected,) = model.decoder(output, sizes, (side, side), model.labels)
    maps = exported.maps(normalized, sizes[0])
    assert expected.panoptic is not None and len(np.unique(expected.panoptic)) > 1
    height, width = sizes[0]
    assert (maps["panoptic"][0, :height, :width] == expected.panoptic).mean() >= 0.99
    assert (maps["semantic"][0, :height, :width] == expected.semantic).mean() >= 0.99


def test_a_batch_gives_the_outputs_of_its_images(semantic_onnx: tuple[Path, Parity], semantic: Model) -> None:
    exported = sw.load(semantic_onnx[0])
    batch = torch.randn(3, 3, 64, 80)
    with torch.inference_mode():
        expected: Any = semantic.outputs(batch)
        actual: Any = exported.outputs(batch)
    assert torch.allclose(actual.logits, expected.logits, atol=1e-4)


def test_the_file_and_the_one_beside_it_say_everything(
    semantic_onnx: tuple[Path, Parity], semantic: Model
) -> None:
    path, _ = semantic_onnx
    beside = json.loads(path.with_name("model.onnx.json").read_text())
    assert beside["sha256"] == checksum(path)
    description = load_exported(path).description
    inside = json.loads(json.dumps(description.to_json()))
    assert {key: beside[key] for key in inside} == inside
    assert description.labels == semantic.labels
    assert description.input == semantic.input
    assert description.origin["license"] == "CC0"
    assert description.name == "small"
    assert (description.outputs, description.maps) == (("logits",), ("classes",))
    assert len(description.weights_sha256) == 64


@pytest.mark.parametrize(
    "inference",
    [TestTimeAugmentation((0.75, 1.0), flip=True), SlidingWindows((64, 64))],
    ids=["tta", "windows"],
)
def test_every_inference_mode_works(
    semantic_onnx: tuple[Path, Parity], semantic: Model, inference: Any
) -> None:
    exported = sw.load(semantic_onnx[0])
    (sample,) = images(semantic, (90, 121))
    predictions = [sw.predict(model, sample.image, inference=inference) for model in (semantic, exported)]
    assert (predictions[0].semantic == predictions[1].semantic).mean() >= 0.999


@pytest.mark.slow
def test_different_files_have_different_checksums(
    semantic_onnx: tuple[Path, Parity], panoptic_onnx: tuple[Path, Parity]
) -> None:
    from segwright.prediction.resume_settings import model_checksum

    checksums = [model_checksum(load_exported(path)) for path, _ in (semantic_onnx, panoptic_onnx)]
    assert checksums[0] != checksums[1]


@pytest.mark.slow
def test_a_file_for_one_size_says_so(semantic: Model, tmp_path: Path) -> None:
    exported = export_model(semantic, tmp_path / "fixed.onnx", size=(60, 90))
    assert exported.model.description.size == (64, 96)  # rounded up to the multiple
    (sample,) = images(semantic, (60, 90))
    expected = sw.predict(semantic, sample.image).semantic
    assert (sw.predict(exported.model, sample.image).semantic == expected).mean() >= 0.999
    with pytest.raises(UserError, match=r"64 x 96.*--windows 64,96"):
        sw.predict(exported.model, np.zeros((200, 300, 3), np.uint8))


@pytest.mark.slow
def test_half_precision_and_eight_bits(semantic: Model, tmp_path: Path) -> None:
    samples = images(semantic, (64, 80))
    half = export_model(semantic, tmp_path / "half.onnx", half=True, samples=samples, ground_truth=False)
    assert half.parity is not None and half.parity.equal_pixels >= 0.99
    whole = semantic.state_dict().values()
    assert (tmp_path / "half.onnx").stat().st_size < 4 * sum(v.numel() for v in whole)
    calibration = [sample.image for sample in images(semantic, (64, 80), (90, 70))]
    small = export_model(
        semantic, tmp_path / "int8.onnx", calibration=calibration, samples=samples, ground_truth=False
    )
    assert small.model.description.precision == "int8"
    assert small.parity is not None and small.parity.equal_pixels >= 0.8
    with pytest.raises(UserError, match="exclude each other"):
        export_model(semantic, tmp_path / "both.onnx", half=True, calibration=calibration)


@pytest.mark.slow
def test_a_program_of_torch_export(panoptic: Model, tmp_path: Path) -> None:
    samples = images(panoptic, (90, 121))
    exported = export_model(
        panoptic, tmp_path / "model.pt2", postprocessing=True, samples=samples, ground_truth=False
    )
    assert exported.parity is not None
    assert exported.parity.equal_pixels >= 0.9999
    assert exported.parity.equal_map_pixels == 1.0
    with pytest.raises(UserError, match="ONNX or OpenVINO"):
        export_model(panoptic, tmp_path / "int8.pt2", calibration=[samples[0].image])


@pytest.mark.slow
def test_openvino_files(panoptic: Model, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    samples = images(panoptic, (90, 121))
    exported = export_model(
        panoptic, tmp_path / "model.xml", postprocessing=True, samples=samples, ground_truth=False
    )
    assert exported.parity is not None
    assert exported.parity.equal_pixels >= 0.999
    assert (tmp_path / "model.bin").is_file()
    assert exported.parity.memory["file_bytes"] > (tmp_path / "model.bin").stat().st_size


@pytest.mark.slow
def test_an_export_that_differs_fails_and_leaves_nothing(
    semantic: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segwright.export.exported_model import ExportedModel

    original, samples = ExportedModel.forward, images(semantic, (64, 80))
    monkeypatch.setattr(
        ExportedModel,
        "forward",
        lambda self, x: type(o := original(self, x))(-o.logits),  # type: ignore[union-attr]
    )
    with pytest.raises(RunError, match=r"not written, because only .* expected 99\.90%"):
        export_model(semantic, tmp_path / "wrong.onnx", size=(64, 80), samples=samples, ground_truth=False)
    assert list(tmp_path.iterdir()) == []
    export_model(
        semantic,
        tmp_path / "wrong.onnx",
        size=(64, 80),
        samples=samples,
        ground_truth=False,
        minimum_equal_pixels=0.0,
    )


def failing_guard(*_: Any) -> None:
    """A program of torch.export on images of a size that it does not take."""
    raise AssertionError("Guard failed: images.size()[3] // 8 != 1")


def test_a_file_is_opened_once_and_the_random_numbers_of_the_caller_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(
        "segwright.export.export.load_exported", lambda path: opened.append(path) or load_exported(path)
    )
    model = sw.wrap(torch.nn.Conv2d(3, 3, 1), SEMANTIC, sw.InputContract(multiple=8)).eval()
    state = torch.get_rng_state()
    exported = export_model(model, tmp_path / "model.pt2").model
    assert len(opened) == 1 and torch.equal(torch.get_rng_state(), state)
    assert exported.path == tmp_path / "model.pt2" and exported.file_bytes == exported.path.stat().st_size
    (sample,) = images(model, (30, 41))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exported.runtime, "module", failing_guard)
        with pytest.raises(UnexpectedSize, match=r"images of 32 x 48 pixels .*--windows") as error:
            sw.predict(exported, sample.image)
        assert error.value.size is None
    assert (
        sw.predict(exported, sample.image).semantic == sw.predict(model, sample.image).semantic
    ).mean() > 0.99


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".xml"])
def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path: Path, suffix: str) -> None:
    if suffix == ".xml":
        pytest.importorskip("openvino")
    path = tmp_path / f"model{suffix}"
    with pytest.raises(UserError, match="does not exist"):
        sw.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="expected") as error:
        sw.load(path)
    assert "\n" not in str(error.value)


def test_an_onnx_file_of_another_program_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, str(tmp_path / "other.onnx"))
    with pytest.raises(UserError, match="no description of segwright"):
        sw.load(tmp_path / "other.onnx")


def test_descriptions_of_other_versions_and_damaged_ones_are_refused() -> None:
    with pytest.raises(UserError, match="version 99; expected 1; update segwright"):
        Description.from_json('{"version": 99}', Path("m.onnx"))
    values = '"kind": "", "decoder": "", "precision": "", "opset": 1, "name": "", "weights_sha256": "", "origin": {}'
    lists = '"inputs": [], "outputs": [], "maps": [], "input": [], "labels": []'
    for text in ('{"version": 1}', '{"version": "2"}', "[]", "3", f'{{"version": 1, {values}, {lists}}}'):
        with pytest.raises(UserError, match="damaged"):
            Description.from_json(text, Path("m.onnx"))


def test_names_and_opsets_are_checked_first(semantic: Model, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in .onnx or .pt2 or .xml"):
        export_model(semantic, tmp_path / "model.bin")
    with pytest.raises(UserError, match=r"ends in .xml"):
        export_model(semantic, tmp_path / "model.onnx", format="openvino")
    with pytest.raises(UserError, match="--opset is 7; expected 18 to 23"):
        export_model(semantic, tmp_path / "model.onnx", opset=7)


def test_weights_beyond_the_limit_of_onnx_files_are_refused(
    semantic: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segwright.export.onnx_file.LARGEST_WEIGHTS", 1000)
    with pytest.raises(UserError, match=r"expected less than 2 GiB.*--format torch"):
        export_model(semantic, tmp_path / "model.onnx", size=(64, 64))
    assert list(tmp_path.iterdir()) == []


class Deciding(torch.nn.Module):
    """A network that decides by the shape of the image, or by its values."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.layer = what, torch.nn.Conv2d(3, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        portrait = images.shape[2] > images.shape[3]
        logits: torch.Tensor = self.layer(images)
        return 2 * logits if (portrait if self.what == "shape" else float(images.mean()) > 0) else logits


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("shape", "choose one: --size H,W .* outputs differ by"),
        ("values", "decides by the values of a tensor"),
    ],
)
def test_a_network_that_decides_is_refused(
    what: str, text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wrapped = sw.wrap(Deciding(what), SEMANTIC, sw.InputContract(multiple=8)).eval()
    with pytest.raises(UserError, match=text):
        export_model(wrapped, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""


def test_too_little_memory_of_onnxruntime_skips_the_image(
    semantic_onnx: tuple[Path, Parity], tmp_path: Path
) -> None:
    class Failing:
        """A session that fails as onnxruntime does: with a class of its own."""

        class RuntimeException(Exception):
            pass

        def run(self, *_: Any) -> Any:
            text = "Non-zero status code returned while running Conv node.\nStatus Message: std::bad_alloc"
            raise self.RuntimeException(f"[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : {text}")

    exported = load_exported(semantic_onnx[0])
    runtime: Any = exported.runtime
    runtime.session = Failing()
    write_png(tmp_path / "a.png", np.zeros((40, 50, 3), np.uint8))
    ((_, problem),) = predict_files(exported, [str(tmp_path / "a.png")], tmp_path / "out")
    assert problem is not None and problem.startswith("too large for the memory")


def test_an_exported_model_is_not_exported_again(semantic_onnx: tuple[Path, Parity], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no weights"):
        export_model(load_exported(semantic_onnx[0]), tmp_path / "again.onnx")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder of street.quick with random weights."""
    from segwright.config import to_yaml

    recipe = load_recipe("street.quick").tiny()
    recipe.data.train, recipe.data.val = 4, 2
    recipe.model.depths = (1, 1, 1, 1)
    torch.manual_seed(0)
    labels = recipe.data.open(None, "val").labels
    folder = tmp_path / "run"
    folder.mkdir()
    model = recipe.model.build(labels, recipe.input)
    write_model(folder / "best.safetensors", model, recipe.model, name="street.quick", decoder=recipe.decoder)
    (folder / "recipe.yaml").write_text(to_yaml(recipe))
    (folder / "run.json").write_text('{"data": {"root": null}}')
    return folder


def test_the_verbs_export_predict_and_evaluate(run: Path, tmp_path: Path) -> None:
    from PIL import Image

    from segwright.cli.main import main

    onnx, report = tmp_path / "model.onnx", tmp_path / "model.json"
    assert main(["export", str(run), "--format", "onnx", "--out", str(onnx), "--json", str(report)]) == 0
    values = json.loads(report.read_text())
    assert values["equal_pixels"] >= 0.9999
    assert values["ground_truth"] == "dataset"
    assert {"max_logit_difference", "score_difference", "latency", "memory"} <= values.keys()

    image = tmp_path / "photo.png"
    Image.fromarray(images(sw.load(run), (90, 121))[0].image).save(image)
    for model, out in ((str(onnx), "a"), (str(run), "b")):
        assert main(["predict", model, str(image), "--out", str(tmp_path / out)]) == 0
    maps = [np.asarray(Image.open(tmp_path / out / "index" / "photo.png")) for out in ("a", "b")]
    assert (maps[0] == maps[1]).mean() >= 0.999

    scores = []
    for model in (str(onnx), str(run)):
        arguments = [
            "evaluate",
            model,
            "--json",
            str(tmp_path / "scores.json"),
            "--recipe",
            str(run / "recipe.yaml"),
        ]
        assert main(arguments) == 0
        scores.append(json.loads((tmp_path / "scores.json").read_text())["miou"])
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    assert main(["predict", str(onnx), str(image), "--out", str(tmp_path / "c"), "--fast"]) == 2


def test_info_says_what_an_exported_file_is(
    semantic_onnx: tuple[Path, Parity], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from segwright.cli.main import main

    path, parity = semantic_onnx
    assert main(["info", str(path), "--json", str(tmp_path / "info.json")]) == 0
    info = json.loads((tmp_path / "info.json").read_text())
    assert info["file"]["sha256"] == checksum(path) and info["file"]["bytes"] == path.stat().st_size
    assert (info["format"], info["opset"], info["precision"], info["size"]) == ("ONNX", 18, "fp32", None)
    assert info["inputs"] == {"images": ["batch", 3, "height", "width"]}
    assert info["outputs"]["classes"] == ["batch", "height", "width"]
    assert info["labels"]["names"] == ["road", "wall", "sky"]
    assert info["origin"]["license"] == "CC0"
    assert info["parity"] == json.loads(json.dumps(parity.to_json()))
    text = capsys.readouterr().out
    for part in (
        "opset 18",
        "any batch size, any height and width",
        "CC0",
        "equal pixels on 3 images",
        "mIoU",
    ):
        assert part in text


def test_the_comparison_of_another_file_is_not_shown(
    semantic_onnx: tuple[Path, Parity], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from segwright.analysis.models.exported_info import exported_info
    from segwright.cli.main import main

    path = tmp_path / "copy.onnx"
    path.write_bytes(semantic_onnx[0].read_bytes())
    assert exported_info(path)["parity"] is None
    for text in ('{"sha256": "of another", "parity": {}}', "[]", "damaged"):
        (tmp_path / "copy.onnx.json").write_text(text)
        assert exported_info(path)["parity"] is None
    assert main(["info", str(path)]) == 0
    assert "not known" in capsys.readouterr().out


def test_bench_times_an_exported_file(
    semantic_onnx: tuple[Path, Parity], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from segwright.cli.main import main

    arguments = ["bench", str(semantic_onnx[0]), "--size", "40,56", "--seconds", "0", "--device", "cpu"]
    assert main([*arguments, "--json", str(tmp_path / "bench.json")]) == 0
    values = json.loads((tmp_path / "bench.json").read_text())
    assert values["batches"] >= 5 and values["network_images_per_second"] > 0
    for option in ("--fast", "--largest-batch"):
        assert main([*arguments, option]) == 2
        assert f"{option} has no effect" in capsys.readouterr().err


def test_options_of_the_verb_without_effect_are_errors(run: Path, tmp_path: Path, capsys: Any) -> None:
    from segwright.cli.main import main

    out = str(tmp_path / "model.onnx")
    for arguments, text in (
        (["--int8"], "belong together"),
        (["--calibration", str(tmp_path)], "belong together"),
        (["--images", str(tmp_path / "none")], "does not exist"),
        (["--images", str(tmp_path), "--data", str(tmp_path)], "no effect"),
        (["--format", "openvino", "--out", f"{tmp_path}/m.xml", "--triton", f"{tmp_path}/r"], "no ONNX file"),
    ):
        assert main(["export", str(run), "--out", out, *arguments]) == 2
        assert text in capsys.readouterr().err
    assert main(["export", out, "--out", out]) == 2
    assert "is exported already" in capsys.readouterr().err
    assert not Path(out).exists()
