"""Files of panoptic-deeplab: names of architectures, sizes, and the keys of every backbone."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from segwright.contracts import InputContract
from segwright.errors import UserError
from segwright.importers import load
from segwright.importers.panoptic_deeplab import INPUT, XCEPTION_INPUT, describe
from segwright.labels import LabelSpace
from segwright.models.deeplab_v3 import DeepLabV3Config
from segwright.models.deeplab_v3plus import DeepLabV3PlusConfig
from segwright.models.panoptic_deeplab import PanopticDeepLabConfig
from segwright.recipes import load_recipe

FAMILY = "panoptic-deeplab"
# Millions of parameters and keys of the original, with 19 classes.
SIZES = {
    "deeplab_r50_os32": (55.309, 530),
    "deeplab_r101_os32": (74.301, 836),
    "deeplab_x101_os32": (118.543, 836),
    "deeplab_x65_os32": (69.632, 1004),
    "deeplab_mobilenet_v2_os32": (7.720, 518),
    "deeplab_h48_os4": (72.209, 2042),
}
ARCHITECTURES = {
    "panoptic_deeplab_R50_os32_cityscapes": "deeplab_r50_os32",
    "panoptic_deeplab_R101_os32_cityscapes": "deeplab_r101_os32",
    "panoptic_deeplab_X101_32x8d_os32_cityscapes": "deeplab_x101_os32",
    "panoptic_deeplab_X65_os32_cityscapes_lr_x10": "deeplab_x65_os32",
    "panoptic_deeplab_MBNV2_100_os32_cityscapes_bs16_lr_x2": "deeplab_mobilenet_v2_os32",
    "panoptic_deeplab_H48_os4_cityscapes": "deeplab_h48_os4",
    "Base-Panoptic-DeepLab": "deeplab_r50_os16",
    "Base-Semantic-DeepLab": "deeplab_r50_os16_semantic",
}


def unnamed(classes: int) -> LabelSpace:
    return LabelSpace.of(*(f"class_{index}" for index in range(classes)))


def empty(config: Any, classes: int = 19) -> torch.nn.Module:
    with torch.device("meta"):
        model: torch.nn.Module = config.build(unnamed(classes), InputContract())
    return model


def theirs(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of our module under the keys of panoptic-deeplab."""
    rules = (
        (r"head\.(\w+)\.decoder\.aspp\.pooled\.0", r"decoder.\1_decoder.aspp.convs.4.aspp_pooling.1"),
        (r"head\.(\w+)\.decoder\.aspp\.branches", r"decoder.\1_decoder.aspp.convs"),
        (r"head\.(\w+)\.decoder\.fuse\.(\d)\.0\.1\.0", r"decoder.\1_decoder.fuse.\2.0.1"),
        (r"head\.(\w+)\.decoder\.fuse\.(\d)\.0\.1\.1", r"decoder.\1_decoder.fuse.\2.0.2"),
        (r"head\.(\w+)\.decoder", r"decoder.\1_decoder"),
        (r"head\.(\w+)\.scores\.(\w+)\.classifier", r"decoder.\1_head.classifier.\2.1"),
        (r"head\.(\w+)\.scores\.(\w+)\.hidden\.0\.1\.0", r"decoder.\1_head.classifier.\2.0.0.1"),
        (r"head\.(\w+)\.scores\.(\w+)\.hidden\.0\.1\.1", r"decoder.\1_head.classifier.\2.0.0.2"),
        (r"head\.(\w+)\.scores\.(\w+)\.hidden\.0\.0", r"decoder.\1_head.classifier.\2.0.0.0"),
    )
    renamed = {}
    for key, value in state.items():
        named = next((re.sub(f"^{a}", b, key) for a, b in rules if re.match(a, key)), key)
        renamed[named] = value
    assert len(renamed) == len(state)
    return renamed


@pytest.mark.parametrize("name", SIZES)
def test_networks_have_the_size_of_the_original(name: str) -> None:
    model = empty(load_recipe(f"cityscapes_panoptic.{name}").model)
    count = sum(p.numel() for p in model.parameters())
    assert (round(count / 1e6, 3), len(model.state_dict())) == SIZES[name]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_config_file_is_what_its_recipe_trains(architecture: str) -> None:
    recipe = load_recipe(f"cityscapes_panoptic.{ARCHITECTURES[architecture]}")
    described = describe(architecture, theirs(empty(recipe.model, 7).state_dict()))
    assert isinstance(described.config, PanopticDeepLabConfig) and isinstance(
        recipe.model, PanopticDeepLabConfig
    )
    described.config.initial_std = recipe.model.initial_std
    assert described.config == recipe.model
    assert described.input == recipe.input
    assert described.classes == 7


@pytest.mark.parametrize(
    "architecture",
    [
        "panoptic_deeplab_X65_os32_cityscapes_lr_x10",
        "panoptic_deeplab_mnasnet0_5_os32",
        "panoptic_deeplab_resnet18_os32",
        "panoptic_deeplab_hrnet18_os4",
    ],
)
def test_keys_of_every_backbone_find_their_place(architecture: str) -> None:
    torch.manual_seed(0)
    template = load_recipe("cityscapes_panoptic.deeplab_mobilenet_v2_os32").model
    described = describe(architecture, theirs(empty(template, 3).state_dict()))
    model = described.config.build(unnamed(3), described.input).eval()
    for value in model.state_dict().values():
        if value.ndim == 1:
            value.add_(torch.rand_like(value) * 0.1)
    loaded = load(theirs(model.state_dict()), FAMILY, architecture, classes=3)
    images = torch.randn(1, 3, 33, 65)
    with torch.inference_mode():
        actual, wanted = loaded(images), model(images)
    assert torch.equal(actual.semantic, wanted.semantic)
    assert torch.equal(actual.offset, wanted.offset)
    assert torch.isfinite(actual.center).all()


def test_the_semantic_branch_alone_loads() -> None:
    config = load_recipe("cityscapes_panoptic.deeplab_r50_os16_semantic").model
    model = config.build(unnamed(3), INPUT).eval()
    loaded = load(theirs(model.state_dict()), FAMILY, "Base-Semantic-DeepLab")
    images = torch.randn(1, 3, 33, 33)
    with torch.inference_mode():
        assert torch.equal(loaded(images).logits, model(images).logits)


def test_dilation_and_rates_are_described() -> None:
    config = load_recipe("cityscapes_panoptic.deeplab_r50_os32").model
    state = theirs(empty(config, 3).state_dict())
    named: Any = describe("panoptic_deeplab_R50_os16_cityscapes", state).config
    described: Any = describe(
        "panoptic_deeplab_R50_os32_x", state, dilation=(False, True, True), rates=(1, 2, 3)
    ).config
    assert (named.backbone.output_stride, named.semantic.aspp.rates) == (16, (6, 12, 18))
    assert (described.backbone.output_stride, described.instance.aspp.rates) == (8, (1, 2, 3))


@pytest.mark.parametrize("dilation", [(False, True), (False, True, False), (True, False, False)])
def test_dilation_that_no_network_has_is_refused(dilation: Any) -> None:
    state = theirs(empty(load_recipe("cityscapes_panoptic.deeplab_r50_os32").model, 3).state_dict())
    with pytest.raises(UserError, match="expected True or False for each of the last three stages"):
        describe("panoptic_deeplab_R50_os32_cityscapes", state, dilation=dilation)


def test_a_config_may_have_been_changed_to_another_network() -> None:
    v3 = {"decoder.classifier.3.bias": torch.zeros(4)}
    assert isinstance(describe("Base-Semantic-DeepLab", v3).config, DeepLabV3Config)
    plus = {"decoder.classifier.bias": torch.zeros(4)}
    assert isinstance(describe("panoptic_deeplab_R50_os32_cityscapes", plus).config, DeepLabV3PlusConfig)


def test_names_may_be_files_and_older_ones() -> None:
    config = load_recipe("cityscapes_panoptic.deeplab_r50_os32").model
    state = theirs(empty(config, 3).state_dict())
    wanted = describe("panoptic_deeplab_R50_os32_cityscapes", state).config
    for name in (
        "configs/panoptic_deeplab_R50_os32_cityscapes.yaml",
        "panoptic_deeplab_R50_B16_O32_90K_cityscapes",
        "panoptic_deeplab_resnet50_os32",
    ):
        assert describe(name, state).config == wanted
    assert describe("configs/Misc/Base-Panoptic-DeepLab.yaml", state).config.backbone.output_stride == 16  # type: ignore[attr-defined]


def test_semantic_networks_take_every_backbone() -> None:
    state = {"decoder.classifier.3.bias": torch.zeros(4), "decoder.classifier.bias": torch.zeros(5)}
    xception = describe("deeplabv3_xception65", state)
    assert xception.input == XCEPTION_INPUT and xception.classes == 4
    plus: Any = describe("deeplabv3plus_wide_resnet50_2", {"decoder.classifier.bias": torch.zeros(5)})
    assert (plus.config.backbone.width_per_group, plus.config.backbone.output_stride, plus.classes) == (
        128,
        16,
        5,
    )
    assert plus.config.aspp.rates == (6, 12, 18)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (
            "panoptic_deeplab_R51_os32_cityscapes",
            "unknown panoptic-deeplab architecture 'panoptic_deeplab_R51_os32_cityscapes'; expected",
        ),
        (
            "deeplabv4_resnet50",
            "architecture 'deeplabv4_resnet50'; expected the name of a config file",
        ),
        ("panoptic_deeplab_R50_os4_cityscapes", "output stride 4; expected one of 8, 16, 32"),
        (
            "panoptic_deeplab_R50_os32_cityscapes",
            r"the file has 1 keys, but not decoder\.semantic_decoder\.\S+; check",
        ),
        ("deeplabv3_resnet50", r"the file has 1 keys, but not decoder\.classifier\.3\.bias; check"),
    ],
)
def test_wrong_names_are_refused(architecture: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load({"a": torch.zeros(1)}, FAMILY, architecture)
