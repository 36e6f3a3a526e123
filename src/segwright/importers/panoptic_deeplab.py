"""panoptic-deeplab: Panoptic-DeepLab, DeepLabV3 and DeepLabV3+ on any of its backbones.

Files that it trained with Detectron2 have other keys: see ``detectron2``.
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
# Images are padded with the mean, rounded to integers.
INPUT = InputContract(fill_value=(123.0, 116.0, 103.0), multiple=1)
XCEPTION_INPUT = InputContract(mean=(127.5,) * 3, std=(127.5,) * 3, fill_value=(127.0,) * 3, multiple=1)

RESNETS = {  # depth, groups, width per group
    "resnet18": (18, 1, 64), "resnet34": (34, 1, 64), "resnet50": (50, 1, 64), "resnet101": (101, 1, 64),
    "resnet152": (152, 1, 64), "resnext50_32x4d": (50, 32, 4), "resnext101_32x8d": (101, 32, 8),
    "wide_resnet50_2": (50, 1, 128), "wide_resnet101_2": (101, 1, 128),
}  # fmt: skip
OTHERS = (
    "mobilenet_v2", "mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3", "hrnet18", "hrnet32", "hrnet48",
    "xception65",
)  # fmt: skip
# Abbreviations in the names of its config files.
SHORT = {
    "R50": "resnet50", "R101": "resnet101", "X101_32x8d": "resnext101_32x8d", "X65": "xception65",
    "MBNV2_100": "mobilenet_v2", "H18": "hrnet18", "H32": "hrnet32", "H48": "hrnet48",
}  # fmt: skip
BASES = {  # config files whose names contain no backbone
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
    """Depthwise convolution, norm, pointwise convolution, norm: 0.0, 0.1, 1, 2 there; 0.0, 0.1, 1.0, 1.1 here."""
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
    """The network of a config file by its name, or of ``deeplabv3_resnet50``, ``deeplabv3plus_xception65`` and so on.

    The tensors determine all channels, but neither the dilation of the backbone nor the rates of ASPP: both follow from
    the output stride in the name (default 16). ``dilation``, for each of the last three stages whether it is dilated,
    and ``rates`` override them. A file of Detectron2 needs neither.
    """
    if detectron2.is_detectron2(state):
        return detectron2.describe(architecture, state)
    network_name, name, output_stride = _parsed(architecture)
    if network_name == "panoptic_deeplab":  # a config file can select another network
        network_name = _semantic_network(state) or network_name
    if dilation is not None:
        _check_dilation(dilation, network_name)
    backbone = _backbone(name, output_stride if dilation is None else 32 // 2 ** sum(dilation))
    aspp = ASPPConfig(tuple(rates or ATROUS_RATES[output_stride]), pooled="bare")
    norm = XCEPTION_NORM if name == "xception65" else NORM
    network: ModelConfig
    if network_name == "deeplabv3":
        network, renames, classifier = DeepLabV3Config(backbone, aspp, norm=norm), DEEPLABV3, "classifier.3"
    elif network_name == "deeplabv3plus":
        network = DeepLabV3PlusConfig(backbone, aspp, align_corners=True, norm=norm)
        renames, classifier = DEEPLABV3PLUS, "classifier"
    else:
        network, renames = _panoptic(state, backbone, aspp, norm), PANOPTIC
        classifier = "semantic_head.classifier.semantic.1"
    input = XCEPTION_INPUT if name == "xception65" else INPUT
    return Description(network, input, renames, output_channels(state, f"decoder.{classifier}.bias"))


def _parsed(architecture: str) -> tuple[str, str, int]:
    """Network, backbone and output stride."""
    stem = re.sub(r".*/|\.yaml$", "", architecture)
    names = "|".join((*SHORT, *RESNETS, *OTHERS))
    parts = re.fullmatch(
        rf"(deeplabv3|deeplabv3plus|panoptic_deeplab)_({names})(?:_B\d+)?(?:_(?:os|O)(\d+))?(?:_.*)?",
        BASES.get(stem, stem),
    )
    if parts is None:
        raise UserError(
            f"unknown panoptic-deeplab architecture {architecture!r}; expected the name of a config file, such as "
            "panoptic_deeplab_R50_os32_cityscapes, or deeplabv3_NAME, deeplabv3plus_NAME, panoptic_deeplab_NAME_os16 "
            f"with one of {', '.join((*RESNETS, *OTHERS))}"
        )
    network, name, output_stride = parts.groups()
    name = SHORT.get(name, name)
    if network == "panoptic_deeplab" and name not in (*RESNETS, "xception65"):
        return network, name, 32  # the others are not dilated, also with another stride in the name (H48_os4)
    if int(output_stride or 16) not in ATROUS_RATES:
        raise UserError(
            f"{architecture}: output stride {output_stride}; expected one of {', '.join(map(str, ATROUS_RATES))}"
        )
    return network, name, int(output_stride or 16)


def _semantic_network(state: State) -> str | None:
    """The name of the semantic network that the keys belong to, or None for Panoptic-DeepLab."""
    if any(key.startswith("decoder.semantic_decoder.") for key in state):
        return None
    networks = {"decoder.classifier.3.bias": "deeplabv3", "decoder.classifier.bias": "deeplabv3plus"}
    return next((network for key, network in networks.items() if key in state), None)


def _check_dilation(dilation: Sequence[bool], network: str) -> None:
    """Refuse an undilated stage after a dilated one, unless the network uses only the last feature map."""
    ordered = network == "deeplabv3" or list(dilation) == sorted(dilation)
    if len(dilation) != 3 or not all(isinstance(flag, bool) for flag in dilation) or not ordered:
        raise UserError(
            f"dilation is {tuple(dilation)}; expected True or False for each of the last three stages, and no stage "
            "with a stride after a dilated one"
        )


def _backbone(name: str, output_stride: Any) -> Backbone:
    if name.startswith("hrnet"):
        width: Any = int(name[5:])
        return HRNetConfig(width, align_corners=True, norm=NORM)
    if name.startswith("mnasnet"):
        factor: Any = name.removeprefix("mnasnet")
        return MNASNetConfig(factor, norm=NORM)
    if name == "mobilenet_v2":
        return MobileNetV2Config(norm=NORM.then("relu6"))
    if name == "xception65":
        return XceptionConfig(output_stride=output_stride, norm=XCEPTION_NORM)
    depth, groups, width = RESNETS[name]
    return ResNetConfig(depth, output_stride=output_stride, groups=groups, width_per_group=width, norm=NORM)


def _panoptic(state: State, backbone: Backbone, aspp: ASPPConfig, norm: Norm) -> PanopticDeepLabConfig:
    semantic = _branch(state, "semantic", "semantic", aspp)
    has_instances = any(key.startswith("decoder.instance_decoder.") for key in state)
    return PanopticDeepLabConfig(
        backbone,
        semantic,
        _branch(state, "instance", "center", aspp) if has_instances else None,
        skip_strides=strides_to_4(len(semantic.skip_channels)),
        norm=norm,
    )


def _branch(state: State, name: str, head: str, aspp: ASPPConfig) -> DecoderBranch:
    """A decoder with the channels that its tensors have. ``head``: the name of one of its heads."""

    def channels(key: str) -> int:
        return output_channels(state, f"decoder.{name}_{key}.weight")

    count = sum(
        re.fullmatch(rf"decoder\.{name}_decoder\.project\.\d\.0\.weight", key) is not None for key in state
    )
    return DecoderBranch(
        replace(
            aspp,
            channels=channels("decoder.aspp.convs.0.0"),
            out_channels=channels("decoder.aspp.project.0"),
        ),
        tuple(channels(f"decoder.project.{index}.0") for index in range(max(count, 1))),
        channels("decoder.fuse.0.0.1"),
        channels(f"head.classifier.{head}.0.0.1"),
    )


FAMILY = Family(describe, options=("dilation", "rates"))
