"""S5, panoptic-deeplab: Panoptic-DeepLab, DeepLabV3 and DeepLabV3+ on any of its backbones.

What it trained with Detectron2 has another tree of keys: see ``detectron2``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from segwright.contracts import InputContract, ModelConfig
from segwright.errors import UserError
from segwright.importers import detectron2
from segwright.importers.description import Description, Family, Renames, State, output_channels
from segwright.models.backbones.hrnet import HRNetConfig
from segwright.models.backbones.mnasnet import MNASNetConfig
from segwright.models.backbones.mobilenet_v2 import MobileNetV2Config
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.backbones.xception import XceptionConfig
from segwright.models.deeplab_v3 import DeepLabV3Config
from segwright.models.deeplab_v3plus import DeepLabV3PlusConfig
from segwright.models.layers.aspp import ASPPConfig
from segwright.models.layers.decoder import ATROUS_RATES, DecoderBranch, strides_to_4
from segwright.models.layers.features import Backbone
from segwright.models.layers.norm_config import Norm
from segwright.models.panoptic_deeplab import PanopticDeepLabConfig

NORM, XCEPTION_NORM = Norm(momentum=0.01), Norm(momentum=0.001)
# Padding is the mean in whole numbers.
CONTRACT = InputContract(fill_value=(123.0, 116.0, 103.0), multiple=1)
XCEPTION_CONTRACT = InputContract(mean=(127.5,) * 3, std=(127.5,) * 3, fill_value=(127.0,) * 3, multiple=1)

RESNETS = {  # depth, groups, channels of a group
    "resnet18": (18, 1, 64), "resnet34": (34, 1, 64), "resnet50": (50, 1, 64), "resnet101": (101, 1, 64),
    "resnet152": (152, 1, 64), "resnext50_32x4d": (50, 32, 4), "resnext101_32x8d": (101, 32, 8),
    "wide_resnet50_2": (50, 1, 128), "wide_resnet101_2": (101, 1, 128),
}  # fmt: skip
OTHERS = (
    "mobilenet_v2", "mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3", "hrnet18", "hrnet32", "hrnet48",
    "xception65",
)  # fmt: skip
# As its config files abbreviate them.
SHORT = {
    "R50": "resnet50", "R101": "resnet101", "X101_32x8d": "resnext101_32x8d", "X65": "xception65",
    "MBNV2_100": "mobilenet_v2", "H18": "hrnet18", "H32": "hrnet32", "H48": "hrnet48",
}  # fmt: skip
BASES = {  # configs that name no backbone
    "Base-Panoptic-DeepLab": "panoptic_deeplab_resnet50_os16",
    "Base-Semantic-DeepLab": "panoptic_deeplab_resnet50_os16",
}


def _aspp(theirs: str, ours: str) -> Renames:
    return (
        (rf"{theirs}\.aspp\.convs\.\d\.aspp_pooling\.1\.", f"{ours}.aspp.pooled.0."),
        (rf"{theirs}\.aspp\.convs\.", f"{ours}.aspp.branches."),
        (rf"{theirs}\.aspp\.project\.", f"{ours}.aspp.project."),
    )


def _separable(theirs: str, ours: str) -> Renames:
    """(depthwise, norm), pointwise, norm are 0.0, 0.1, 1, 2 there, and two pairs here."""
    return (
        (rf"{theirs}\.0\.", f"{ours}.0."),
        (rf"{theirs}\.1\.", f"{ours}.1.0."),
        (rf"{theirs}\.2\.", f"{ours}.1.1."),
    )


def _branch_keys(name: str) -> Renames:
    theirs, ours = rf"decoder\.{name}_decoder", f"head.{name}.decoder"
    score, scored = rf"decoder\.{name}_head\.classifier\.(\w+)", rf"head.{name}.scores.\1"
    return (
        *_aspp(theirs, ours),
        *_separable(rf"{theirs}\.fuse\.(\d)\.0", rf"{ours}.fuse.\1.0"),
        (rf"{theirs}\.project\.", f"{ours}.project."),
        *_separable(rf"{score}\.0\.0", f"{scored}.hidden.0"),
        (rf"{score}\.1\.", f"{scored}.classifier."),
    )


PANOPTIC: Renames = (*_branch_keys("semantic"), *_branch_keys("instance"))
DEEPLABV3: Renames = (
    *_aspp("decoder", "head"),
    (r"decoder\.classifier\.([01])\.", r"head.hidden.\1."),
    (r"decoder\.classifier\.3\.", "head.classifier."),
)
DEEPLABV3PLUS: Renames = (
    *_aspp("decoder", "head.decoder"),
    *_separable(r"decoder\.fuse\.(\d)", r"head.decoder.fuse.0.\1"),
    (r"decoder\.project\.", "head.decoder.project.0."),
    (r"decoder\.classifier\.", "head.classifier."),
)


def describe(
    architecture: str,
    state: State,
    *,
    dilation: Sequence[bool] | None = None,
    rates: Sequence[int] | None = None,
) -> Description:
    """The network of a config file by its stem, or of ``deeplabv3_resnet50``, ``deeplabv3plus_xception65`` and so on.

    All widths are read off the tensors. ``dilation`` of the last three stages and ``rates`` of the pyramid are not in
    them: the name says the output stride (16 where it does not) and so the rates, unless they are given. A file of
    Detectron2 needs neither.
    """
    if detectron2.is_one(state):
        return detectron2.describe(architecture, state)
    kind, name, reach = _parsed(architecture)
    if kind == "panoptic_deeplab":  # a config can be changed to another network, its stem stays
        kind = _kind(state) or kind
    if dilation is not None:
        _refuse_odd(dilation, kind)
    backbone = _backbone(name, reach if dilation is None else 32 // 2 ** sum(dilation))
    atrous = ASPPConfig(tuple(rates or ATROUS_RATES[reach]), pooled="bare")
    norm = XCEPTION_NORM if name == "xception65" else NORM
    network: ModelConfig
    if kind == "deeplabv3":
        network, renames, score = DeepLabV3Config(backbone, atrous, norm=norm), DEEPLABV3, "classifier.3"
    elif kind == "deeplabv3plus":
        network = DeepLabV3PlusConfig(backbone, atrous, align_corners=True, norm=norm)
        renames, score = DEEPLABV3PLUS, "classifier"
    else:
        network, renames = _panoptic(state, backbone, atrous, norm), PANOPTIC
        score = "semantic_head.classifier.semantic.1"
    input = XCEPTION_CONTRACT if name == "xception65" else CONTRACT
    return Description(network, input, renames, output_channels(state, f"decoder.{score}.bias"))


def _parsed(architecture: str) -> tuple[str, str, int]:
    """Kind, backbone and output stride."""
    stem = re.sub(r".*/|\.yaml$", "", architecture)
    names = "|".join((*SHORT, *RESNETS, *OTHERS))
    found = re.fullmatch(
        rf"(deeplabv3|deeplabv3plus|panoptic_deeplab)_({names})(?:_B\d+)?(?:_(?:os|O)(\d+))?(?:_.*)?",
        BASES.get(stem, stem),
    )
    if found is None:
        raise UserError(
            f"panoptic-deeplab has no architecture {architecture!r}; expected the stem of a config file, such as "
            "panoptic_deeplab_R50_os32_cityscapes, or deeplabv3_NAME, deeplabv3plus_NAME, panoptic_deeplab_NAME_os16 "
            f"with one of {', '.join((*RESNETS, *OTHERS))}"
        )
    kind, name, reach = found.groups()
    name = SHORT.get(name, name)
    if kind == "panoptic_deeplab" and name not in (*RESNETS, "xception65"):
        return kind, name, 32  # the others are not dilated, whatever the name says (H48_os4)
    if int(reach or 16) not in ATROUS_RATES:
        raise UserError(
            f"{architecture}: output stride {reach}; expected one of {', '.join(map(str, ATROUS_RATES))}"
        )
    return kind, name, int(reach or 16)


def _kind(state: State) -> str | None:
    """The network that the keys are of, if that is not Panoptic-DeepLab."""
    if any(key.startswith("decoder.semantic_decoder.") for key in state):
        return None
    kinds = {"decoder.classifier.3.bias": "deeplabv3", "decoder.classifier.bias": "deeplabv3plus"}
    return next((kind for key, kind in kinds.items() if key in state), None)


def _refuse_odd(dilation: Sequence[bool], kind: str) -> None:
    """Only the last map is the same whichever stages are dilated; the finer ones keep a stride of their own."""
    rises = kind == "deeplabv3" or list(dilation) == sorted(dilation)
    if len(dilation) != 3 or not all(isinstance(flag, bool) for flag in dilation) or not rises:
        raise UserError(
            f"dilation is {tuple(dilation)}; expected True or False for each of the last three stages, and no stage "
            "with a stride after a dilated one"
        )


def _backbone(name: str, reach: Any) -> Backbone:
    if name.startswith("hrnet"):
        width: Any = int(name[5:])
        return HRNetConfig(width, align_corners=True, norm=NORM)
    if name.startswith("mnasnet"):
        factor: Any = name.removeprefix("mnasnet")
        return MNASNetConfig(factor, norm=NORM)
    if name == "mobilenet_v2":
        return MobileNetV2Config(norm=NORM.then("relu6"))
    if name == "xception65":
        return XceptionConfig(output_stride=reach, norm=XCEPTION_NORM)
    depth, groups, width = RESNETS[name]
    return ResNetConfig(depth, output_stride=reach, groups=groups, width_per_group=width, norm=NORM)


def _panoptic(state: State, backbone: Backbone, atrous: ASPPConfig, norm: Norm) -> PanopticDeepLabConfig:
    semantic = _branch(state, "semantic", "semantic", atrous)
    alone = not any(key.startswith("decoder.instance_decoder.") for key in state)
    return PanopticDeepLabConfig(
        backbone,
        semantic,
        None if alone else _branch(state, "instance", "center", atrous),
        skip_strides=strides_to_4(len(semantic.projected)),
        norm=norm,
    )


def _branch(state: State, name: str, score: str, atrous: ASPPConfig) -> DecoderBranch:
    """A decoder and the widths of its heads, of which ``score`` is one."""

    def width(key: str) -> int:
        return output_channels(state, f"decoder.{name}_{key}.weight")

    count = sum(
        re.fullmatch(rf"decoder\.{name}_decoder\.project\.\d\.0\.weight", key) is not None for key in state
    )
    return DecoderBranch(
        replace(atrous, width=width("decoder.aspp.convs.0.0"), projected=width("decoder.aspp.project.0")),
        tuple(width(f"decoder.project.{place}.0") for place in range(max(count, 1))),
        width("decoder.fuse.0.0.1"),
        width(f"head.classifier.{score}.0.0.1"),
    )


FAMILY = Family(describe, options=("dilation", "rates"))
