"""Published files: what they may look like, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.models.weights.test_foreign_file import Danger
from torch import Tensor

from segwright.cli.main import main
from segwright.contracts import InputContract
from segwright.errors import UserError
from segwright.importers import convert, load
from segwright.labels import LabelSpace
from segwright.models.layers.norm_config import Norm
from segwright.models.unet import PlainUNetConfig
from segwright.models.weights.model_file import read_model

ARCHITECTURES = {
    "mobilenetv2dilated+c1_deepsup": (1.812, 0.370),
    "resnet50dilated+ppm": (23.632, 23.151),
    "resnet101dilated+ppm_deepsup": (42.624, 27.947),
    "resnet50+upernet": (23.632, 40.590),
    "resnet50+upernet_lite": (23.632, 18.266),
    "resnext101+upernet": (42.257, 40.590),
    "hrnetv2+c1": (65.325, 1.194),
    "hrnetv2+ppm": (65.325, 14.312),
}


def unet_state(norm: Any = "batch") -> dict[str, Tensor]:
    """The state dict of the MiniCity tutorial's U-Net with three classes."""
    torch.manual_seed(0)
    model = PlainUNetConfig(norm=Norm(norm)).build(LabelSpace.of("a", "b", "c"), InputContract())
    places = {"0": "0", "1": "1", "2": "3", "3": "4"}
    state = {}
    for key, value in model.state_dict().items():
        part, *rest = key.split(".")
        if part == "head":
            state[f"outc.conv.{rest[0]}"] = value
            continue
        level, index, leaf = rest
        stem = {"up": f"up{int(level) + 1}.conv", "down": f"down{level}.mpconv.1"}[part]
        stem = "inc.conv" if (part, level) == ("down", "0") else stem
        state[f"{stem}.conv.{places[index]}.{leaf}"] = value
    return state


def test_every_form_of_file_gives_the_same(tmp_path: Path) -> None:
    state = unet_state()
    images = torch.randn(1, 3, 33, 40)
    with torch.inference_mode():
        wanted = load(state, "tutorial", "unet")(images).logits
        prefixed = {f"module.{key}": value for key, value in state.items()}
        forms = [
            prefixed,
            {"state_dict": prefixed},
            {"model": state},
            {"model_state_dict": prefixed, "epoch": 3},
        ]
        for number, form in enumerate(forms):
            torch.save(form, tmp_path / f"{number}.pth.tar")
            assert torch.equal(load(form, "tutorial", "unet")(images).logits, wanted)
            assert torch.equal(
                load(tmp_path / f"{number}.pth.tar", "tutorial", "unet")(images).logits, wanted
            )
            assert torch.equal(
                load([str(tmp_path / f"{number}.pth.tar")], "tutorial", "unet")(images).logits, wanted
            )


def test_family_and_architecture_may_be_given_by_name(tmp_path: Path) -> None:
    torch.save(unet_state(), tmp_path / "x.pth")
    model = load(str(tmp_path / "x.pth"), family="tutorial", architecture="unet")
    assert torch.equal(model.state_dict()["head.bias"], unet_state()["outc.conv.bias"])
    written = convert(
        tmp_path / "x.pth", family="tutorial", architecture="unet", out=tmp_path / "m.safetensors"
    )
    assert written.state_dict().keys() == read_model(tmp_path / "m.safetensors").state_dict().keys()


@pytest.mark.parametrize("norm", ["batch", "evonorm_s0", "group", "instance"])
def test_the_tutorials_norm_is_read_off_the_keys(norm: Any) -> None:
    from segwright.importers.tutorial import norm_of

    state = unet_state(norm)
    assert norm_of(state).kind == norm
    assert (
        load(state, "tutorial", "UNet").state_dict().keys()
        == PlainUNetConfig(norm=Norm(norm))
        .build(LabelSpace.of("a", "b", "c"), InputContract())
        .state_dict()
        .keys()
    )


def test_the_toolboxs_branches_differ_in_norm_and_one_key() -> None:
    from segwright.importers.load import rename_key
    from segwright.importers.toolbox import describe

    classifier = {"head.1.bias": torch.zeros(19), "layer3.22.conv1.weight": torch.zeros(1)}
    master = describe("pspnet", {**classifier, "dsn.0.weight": torch.zeros(1), "dsn.3.bias": torch.zeros(19)})
    apex = describe("pspnet", {**classifier, "dsn.0.weight": torch.zeros(1), "dsn.4.bias": torch.zeros(19)})
    bare = describe("pspnet", classifier)
    assert [d.config.norm.kind for d in (master, apex)] == ["inplace", "batch"]
    assert [len(d.config.auxiliary) for d in (master, apex, bare)] == [1, 1, 0]
    assert [d.config.backbone.depth for d in (master, bare)] == [101, 101]
    for described, key in ((master, "dsn.3.bias"), (apex, "dsn.4.bias")):
        assert rename_key(key, described.renames) == "auxiliary.0.classifier.bias"


def test_the_module_says_what_it_wants_and_gives() -> None:
    state = unet_state()
    model = load(state, "tutorial", "unet", classes=3)
    assert not model.training
    assert isinstance(model.labels, LabelSpace) and model.labels.names == ("class_0", "class_1", "class_2")
    assert model.input.mean == InputContract().mean
    state["outc.conv.bias"].fill_(7)  # the model has its own memory
    assert not torch.equal(model.state_dict()["head.bias"], state["outc.conv.bias"])


def test_counters_of_norms_may_lack() -> None:
    state = {k: v for k, v in unet_state().items() if not k.endswith("num_batches_tracked")}
    assert load(state, "tutorial", "unet").state_dict()["down.0.1.num_batches_tracked"] == 0


def test_what_does_not_fit_is_listed() -> None:
    state = unet_state()
    state["extra.weight"] = torch.zeros(1)
    del state["up1.conv.conv.0.bias"]
    state["inc.conv.conv.0.weight"] = torch.zeros(64, 4, 3, 3)
    with pytest.raises(UserError) as caught:
        load(state, "tutorial", "unet")
    message = str(caught.value)
    assert "extra.weight is unknown" in message
    assert "up1.conv.conv.0.bias is missing" in message
    assert "inc.conv.conv.0.weight is (64, 4, 3, 3), expected (64, 3, 3, 3)" in message


@pytest.mark.parametrize(
    ("family", "architecture", "message"),
    [
        (
            "detectron",
            "unet",
            "unknown family 'detectron'; expected one of toolbox, csail",
        ),
        ("tutorial", "vnet", "unknown tutorial architecture 'vnet'; expected one of unet"),
        ("torchvision", "fcn_resnet50", r"the file has \d+ keys, but not classifier\.4\.bias; check"),
    ],
)
def test_wrong_names_are_refused(family: str, architecture: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(unet_state(), family, architecture)


def test_a_wrong_class_count_or_option_or_number_of_files_is_refused() -> None:
    state = unet_state()
    with pytest.raises(UserError, match="the file has 3 classes; expected 20"):
        load(state, "tutorial", "unet", classes=20)
    with pytest.raises(
        UserError, match="PlainUNetConfig has no option 'depth'; it has align_corners, channels, norm"
    ):
        load(state, "tutorial", "unet", depth=3)
    with pytest.raises(UserError, match="1 files of weights; expected 2: encoder, decoder"):
        load(state, "csail", "resnet18+c1")
    assert load(state, "tutorial", "unet", align_corners=False)


def test_only_the_first_dozen_missing_keys_are_listed() -> None:
    state = {k: v for k, v in unet_state().items() if not (k.startswith("up") and k.endswith(".weight"))}
    with pytest.raises(UserError, match=r"^tutorial unet: (up\d\.conv\S+ is missing(; )?){12} and 4 more$"):
        load(state, "tutorial", "unet")


def test_a_pair_may_come_as_one_mapping() -> None:
    joined = {
        **{f"encoder.{k}": v for k, v in unet_state().items()},
        "decoder.conv_last.bias": torch.zeros(3),
    }
    parts = {"encoder": unet_state(), "decoder": {"conv_last.bias": torch.zeros(3)}}
    messages = []
    for files in (joined, parts):
        with pytest.raises(UserError) as refused:
            load(files, "csail", "resnet18+c1")
        messages.append(str(refused.value))
    assert messages[0] == messages[1] and "encoder.inc.conv" in messages[0]


@pytest.mark.parametrize("architecture", ["resnet18", "resnet18+c9", "lenet5+c1", "resnet19+c1"])
def test_wrong_encoders_and_decoders_are_refused(architecture: str) -> None:
    with pytest.raises(UserError, match="csail"):
        load([{"a": torch.zeros(1)}, {"b": torch.zeros(1)}], "csail", architecture)


def test_pickled_code_is_refused(tmp_path: Path) -> None:
    torch.save(Danger(), tmp_path / "danger.pth")
    with pytest.raises(UserError, match=r"danger\.pth: refused to unpickle"):
        load(tmp_path / "danger.pth", "tutorial", "unet")


def test_converting_names_the_classes(tmp_path: Path) -> None:
    labels = LabelSpace("three", ("a", "b", "c"), ((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0, 1, 2))
    torch.save(unet_state(), tmp_path / "unet.pth")
    convert(tmp_path / "unet.pth", "tutorial", "unet", tmp_path / "m.safetensors", labels=labels)
    assert read_model(tmp_path / "m.safetensors").labels == labels


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_csails_networks_have_the_size_of_the_original(architecture: str) -> None:
    from segwright.importers.csail import _decoder, _encoder

    encoder, decoder = architecture.split("+")
    labels = LabelSpace("many", tuple(map(str, range(150))), ((0, 0, 0),) * 150, tuple(range(150)))
    with torch.device("meta"):
        model = _decoder(decoder, _encoder(encoder))[0].build(labels, InputContract())
    sizes = [
        sum(p.numel() for n, p in model.named_parameters() if n.startswith("backbone.") is b)
        for b in (True, False)
    ]
    assert tuple(round(size / 1e6, 3) for size in sizes) == ARCHITECTURES[architecture]


def test_csails_flat_mobilenet_and_old_names() -> None:
    from segwright.importers.csail import describe
    from segwright.importers.load import rename_key

    state = {"decoder.conv_last.bias": torch.zeros(5), "decoder.conv_last.4.bias": torch.zeros(6)}
    described = describe("mobilenetv2dilated+c1_deepsup", state)
    names = {
        "encoder.features.0.0.weight": "backbone.features.0.0.weight",
        "encoder.features.1.conv.3.weight": "backbone.features.1.conv.1.weight",
        "encoder.features.1.conv.4.bias": "backbone.features.1.conv.2.bias",
        "encoder.features.12.conv.4.bias": "backbone.features.12.conv.1.1.bias",
        "encoder.features.12.conv.7.bias": "backbone.features.12.conv.3.bias",
    }
    assert {key: rename_key(key, described.renames) for key in names} == names
    assert described.input.channels == "RGB" and described.classes == 5
    old = describe("resnet50_dilated8+ppm_bilinear_deepsup", state)
    new = describe("resnet50dilated+ppm_deepsup", state)
    assert old.config == new.config and old.classes == 6
    assert old.input.channels == "BGR" and old.input.fill_value == (122.7717, 115.9465, 102.9801)
    assert describe("resnet34_dilated16+c1_bilinear", state).config.backbone.output_stride == 16


def test_missing_keys_have_the_names_of_the_file() -> None:
    state = unet_state()
    for key in ("up1.conv.conv.3.bias", "inc.conv.conv.0.weight", "outc.conv.weight"):
        with pytest.raises(UserError, match=f"unet: {key} is missing"):
            load({k: v for k, v in state.items() if k != key}, "tutorial", "unet")


def test_the_command_line_sets_what_the_name_does_not_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(unet_state(), tmp_path / "unet.pth")
    command = ["convert", str(tmp_path / "unet.pth"), "--family", "tutorial", "--architecture", "unet"]
    out = tmp_path / "m.safetensors"
    assert main([*command, "--out", str(out), "--set", "align_corners=false"]) == 0
    assert capsys.readouterr().out.endswith("M parameters, 3 classes\n")
    model = read_model(out)
    images = torch.randn(1, 3, 32, 48)
    with torch.inference_mode():
        wanted = load(unet_state(), "tutorial", "unet", align_corners=False)(images).logits
        assert torch.equal(model(images).logits, wanted)
    for wrong, message in (
        ("depth=3", "has no option 'depth'"),
        ("out=x", "--set out: not a field of the model config; use the option --out"),
        ("align_corners=[1", "--set align_corners=[1: '[1' is not valid YAML; expected a value such as"),
        ("align_corners", "no '='; expected name=value"),
    ):
        assert main([*command, "--out", str(out), "--set", wrong]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x02", b"{" * 40])
@pytest.mark.parametrize("ending", [".pth", ".safetensors", ".pkl"])
def test_a_file_of_something_else_is_refused_by_name(content: bytes, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{ending}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"weights{ending}: "):
        load(path, "tutorial", "unet")
