"""Weights of others: what is loaded and left out is told, nothing fitting is refused, one channel is binary."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import small
from torch import Tensor

from segwright.cli.main import main
from segwright.contracts import InputContract, Model
from segwright.decode.binary import Threshold
from segwright.errors import UserError
from segwright.importers import convert, load
from segwright.labels import LabelSpace
from segwright.model_paths import find_model
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.binary import BinaryConfig
from segwright.models.fcn import FCNConfig
from segwright.models.layers.segmenter import AuxiliaryHeadConfig
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.weights.foreign_file import read_pickle, read_tensors
from segwright.models.weights.model_file import read_model, start_from, write_model
from segwright.models.weights.safe_pickle import read_arrays
from segwright.training.train import train

ARCHITECTURE = "deeplabv3_resnet18"  # of smp


def smp_state(classes: int) -> dict[str, Tensor]:
    """A state dict as smp's DeepLabV3 has it, made of ours: the names are those of the importer's table."""
    model = load_target(classes)
    pairs = (
        ("backbone.", "encoder."), ("head.aspp.pooled.0.", "decoder.0.convs.4.1."),
        ("head.aspp.pooled.1.", "decoder.0.convs.4.2."), ("head.aspp.branches.", "decoder.0.convs."),
        ("head.aspp.project.", "decoder.0.project."), ("head.hidden.0.", "decoder.1."),
        ("head.hidden.1.", "decoder.2."), ("head.classifier.", "segmentation_head.0."),
    )  # fmt: skip
    state = {}
    for name, value in model.state_dict().items():
        ours, theirs = next(pair for pair in pairs if name.startswith(pair[0]))
        state[theirs + name.removeprefix(ours)] = value
    return state


def load_target(classes: int) -> Model:
    from segwright.models.deeplab_v3 import DeepLabV3Config

    torch.manual_seed(0)
    config = DeepLabV3Config(ResNetConfig(18, output_stride=8, dilation="all"))
    return config.build(LabelSpace.of(*(f"c{index}" for index in range(classes))), InputContract())


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return smp_state(3)


@pytest.mark.parametrize(
    ("prefix", "beside"),
    [
        ("model.", {"loss.weight": torch.ones(3)}),
        ("net.", {"mean": torch.ones(3), "std": torch.ones(3)}),
        ("module.model.", {"metric.confusion": torch.ones(3, 3)}),
        ("_orig_mod.", {}),
        ("model._orig_mod.", {"criterion.weight": torch.ones(3)}),
        ("segmenter.", {}),
    ],
)
def test_wrapped_checkpoints_load(
    state: dict[str, Tensor], tmp_path: Path, prefix: str, beside: dict[str, Tensor]
) -> None:
    wrapped = {f"{prefix}{name}": value for name, value in state.items()} | beside
    torch.save({"state_dict": wrapped, "epoch": 3}, tmp_path / "last.ckpt")
    model = load(tmp_path / "last.ckpt", "smp", ARCHITECTURE)
    assert torch.equal(model.state_dict()["head.classifier.bias"], state["segmentation_head.0.bias"])

    backbone = ResNetConfig(18, str(tmp_path / "last.ckpt")).build(3)  # the encoder of the same file
    assert torch.equal(backbone.state_dict()["conv1.weight"], state["encoder.conv1.weight"])


def test_two_networks_in_a_file_are_named(state: dict[str, Tensor], tmp_path: Path) -> None:
    both = {f"{name}.{key}": value for key, value in state.items() for name in ("teacher", "student")}
    torch.save(both, tmp_path / "two.pth")
    with pytest.raises(UserError, match=r"several networks \(teacher\., student\.\)"):
        load(tmp_path / "two.pth", "smp", ARCHITECTURE)
    with pytest.raises(UserError, match=r"several networks \(student\.encoder\., teacher\.encoder\.\)"):
        ResNetConfig(18, str(tmp_path / "two.pth")).build(3)


def test_another_architecture_names_the_prefix(state: dict[str, Tensor]) -> None:
    wrapped = {f"model.{name}": value for name, value in state.items()} | {"loss.weight": torch.ones(3)}
    with pytest.raises(UserError, match=r"most of its keys start with 'model\.'"):
        load(wrapped, "torchvision", "fcn_resnet50")


def test_options_of_torchvisions_training_script_are_read_and_no_other_class(tmp_path: Path) -> None:
    options = argparse.Namespace(lr=0.1, device="cuda", betas=(0.9, 0.99), resume=None, amp=False)
    torch.save({"model": {"a": torch.ones(2)}, "args": options, "epoch": 29}, tmp_path / "reference.pth")
    assert read_pickle(tmp_path / "reference.pth")["args"] == options
    torch.save({"model": {"a": torch.ones(2)}, "args": tmp_path}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"refused to unpickle \(it asks for pathlib\.\w+\)"):
        read_pickle(tmp_path / "other.pth")


def test_options_in_a_plain_pickle_are_read(tmp_path: Path) -> None:
    import pickle

    options = argparse.Namespace(lr=0.1, resume=None, inner=argparse.Namespace(names=["a"]))
    content = {"model": {"a": np.ones(2, np.float32)}, "args": options}
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(content))
    assert read_tensors(tmp_path / "w.pkl")["a"].tolist() == [1, 1]
    assert read_arrays(tmp_path / "w.pkl")["args"] == {"lr": 0.1, "resume": None, "inner": {"names": ["a"]}}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content | {"out": tmp_path}))
    with pytest.raises(UserError, match=r"refused to unpickle \(it asks for pathlib\.\w+\)"):
        read_tensors(tmp_path / "x.pkl")


def test_set_reaches_fields_inside_of_fields(
    state: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(state, tmp_path / "w.pth")
    command = ["convert", str(tmp_path / "w.pth"), "--family", "smp", "--architecture", ARCHITECTURE]
    command += ["--out", str(tmp_path / "x.safetensors"), "--set"]
    assert main([*command, "backbone.norm.eps=0.25", "aspp.dropout=0.3"]) == 0
    model: Any = read_model(tmp_path / "x.safetensors")
    assert {module.eps for module in model.backbone.modules() if hasattr(module, "eps")} == {0.25}
    for wrong in ("backbone.nrm.eps=1", "backbone.depth.x=1", "backbone.norm.eps=many"):
        capsys.readouterr()
        assert main([*command, wrong]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and f"--set {wrong}" in error


def test_a_network_with_one_output_channel_is_binary(tmp_path: Path) -> None:
    convert(smp_state(1), "smp", ARCHITECTURE, tmp_path / "new" / "folder" / "binary.safetensors")
    model = read_model(tmp_path / "new" / "folder" / "binary.safetensors")
    assert model.labels.names == ("class_0", "class_1") and model.decoder == Threshold(0.5)
    with torch.inference_mode():
        output: Any = model(torch.randn(1, 3, 64, 64))
    assert output.logits.shape[1] == 1
    predictions = [
        Threshold(t)(output, ((64, 64),), (64, 64), model.labels)[0].semantic for t in (0.001, 0.999)
    ]
    assert predictions[0].min() == 1 and predictions[1].max() == 0
    named = convert(
        smp_state(1), "smp", ARCHITECTURE, tmp_path / "n.safetensors", labels=LabelSpace.of("no", "crack")
    )
    assert named.labels.names == ("no", "crack")
    with pytest.raises(UserError, match=r"2 classes \(one output channel\); expected 5"):
        load(smp_state(1), "smp", ARCHITECTURE, classes=5)


def test_the_place_of_a_converted_file_is_checked_first(
    state: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(state, tmp_path / "w.pth")
    command = ["convert", str(tmp_path / "w.pth"), "--family", "smp", "--architecture", ARCHITECTURE, "--out"]
    assert main([*command, str(tmp_path / "a" / "b" / "x.safetensors")]) == 0
    (tmp_path / "d.safetensors").mkdir()
    for out in ("d.safetensors", "w.pth/x.safetensors", "x.pth"):
        assert main([*command, str(tmp_path / out)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert main([*command, "/proc/none/x.safetensors"]) in (1, 2)
    assert capsys.readouterr().err.count("\n") == 1
    for wrong in ("output_stride=5", "hidden_channels=many", "hidden_channels=null", "auxiliary=3"):
        assert main([*command, str(tmp_path / "y.safetensors"), "--set", wrong]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and f"--set {wrong}" in error


# Fine-tuning -------------------------------------------------------------------------------------------------------

TINY = SmallFPNConfig(channels=(16, 32), depths=(1, 1), stem_channels=16, decoder_channels=16)


def saved(path: Path, config: Any, classes: tuple[str, ...] = small.LABELS.names) -> Path:
    labels = LabelSpace.of(*classes)
    path.parent.mkdir(exist_ok=True)
    write_model(path, config.build(labels, InputContract()), config)
    return path


def test_skip_head_leaves_out_a_head_and_not_a_network(tmp_path: Path) -> None:
    resnet = saved(tmp_path / "resnet.safetensors", FCNConfig(ResNetConfig(18)))
    model = TINY.build(small.LABELS, InputContract())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match=r"only 0 of the \d+ weights of the model .* 0% of its parameters"):
        start_from(model, resnet, skip_head=True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    head = AuxiliaryHeadConfig()
    other = FCNConfig(ResNetConfig(18), hidden_ratio=2.0, auxiliary=(head,)).build(
        small.LABELS, InputContract()
    )
    done = start_from(other, resnet, skip_head=True)  # the same backbone; the new head is larger
    assert done.skipped and all(name.startswith(("head.", "auxiliary.")) for name in done.skipped)
    assert "of the model's parameters" in done.message and str(len(done.skipped)) in done.message
    deeper = FCNConfig(ResNetConfig(50)).build(small.LABELS, InputContract())
    with pytest.raises(UserError, match="expected the same network, or the same backbone"):
        start_from(deeper, resnet, skip_head=True)


def test_init_takes_a_run_folder_and_says_what_was_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init = saved(tmp_path / "run" / "best.safetensors", TINY, ("a", "b")).parent
    recipe = small.recipe().tiny()
    with pytest.raises(UserError, match="--skip-head has no effect without --init"):
        train(recipe, None, tmp_path / "none", skip_head=True)
    train(recipe, None, tmp_path / "out", init=init, skip_head=True, device="cpu")
    said = capsys.readouterr()
    assert "started from" in said.err + said.out and " skipped (" in said.err + said.out


@pytest.mark.parametrize("name", ["w.pth", "w.ckpt", "w.pt"])
def test_init_with_a_file_of_another_project_names_convert(tmp_path: Path, name: str) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / name)
    with pytest.raises(UserError, match="a published file needs 'segwright convert'"):
        find_model(tmp_path / name)
    with pytest.raises(UserError, match=r"contains no best\.safetensors"):
        find_model(tmp_path)


def test_a_binary_model_keeps_its_classes_when_it_is_written(tmp_path: Path) -> None:
    path = saved(tmp_path / "b.safetensors", BinaryConfig(TINY), ("no", "yes"))
    assert read_model(path).labels.names == ("no", "yes")
