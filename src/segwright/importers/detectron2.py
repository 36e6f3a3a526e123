"""Detectron2's DeepLab and Panoptic-DeepLab projects, which the newer recipes of panoptic-deeplab use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from segwright.contracts import InputContract
from segwright.decode.panoptic import CenterDecoder
from segwright.errors import UserError
from segwright.importers.description import Description, Renames, State, output_channels
from segwright.models.backbones.hrnet import HRNetConfig
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.backbones.xception import XceptionConfig
from segwright.models.layers.aspp import ASPPConfig
from segwright.models.layers.decoder import ATROUS_RATES, ConvStack, DecoderBranch, strides_to_4
from segwright.models.layers.features import Backbone
from segwright.models.panoptic_deeplab import PanopticDeepLabConfig

# The names of the decoders in Detectron2. Each prediction has a stack of convolutions ("head") and a last one.
PARTS = {"semantic": "sem_seg_head", "instance": "ins_embed_head"}
SCORES = {
    "semantic": (("semantic", "head", "predictor"),),
    "instance": (
        ("center", "center_head", "center_predictor"),
        ("offset", "offset_head", "offset_predictor"),
    ),
}
DEPTHS = {6: 50, 23: 101, 36: 152}  # depth of a ResNet for its number of blocks at stride 16


def is_detectron2(state: State) -> bool:
    """Whether a file has the keys of these projects."""
    return "sem_seg_head.predictor.bias" in state


def describe(architecture: str, state: State) -> Description:
    """The network of a config file such as panoptic_deeplab_R_52_os16_mg124_poly_90k_bs32_crop_512_1024.

    ``architecture``: the name of the file without its ending. The tensors determine almost everything. Of the name only
    ``mg124`` (a multi-grid in the last stage of a ResNet) and the crop size in training matter. The pooled branch of
    ASPP pools over the crop size; default 512x1024.
    """
    crop = re.search(r"_crop_(\d+)_(\d+)", architecture)
    height, width = (int(crop[1]), int(crop[2])) if crop else (512, 1024)
    backbone = _backbone(state, multi_grid=(1, 2, 4) if "_mg124" in architecture else (1,))
    deepest = 32 if isinstance(backbone, HRNetConfig) else 16
    aspp = ASPPConfig(
        ATROUS_RATES[deepest],
        dropout=0.1,
        pooled="bias",
        pooling_window=(height // deepest, width // deepest),
    )
    stages = _stages(state)
    semantic = _branch(state, "semantic", stages, aspp)
    separable = f"sem_seg_head.decoder.{stages[-1]}.fuse_conv.depthwise.weight" in state
    config = PanopticDeepLabConfig(
        backbone,
        semantic,
        _branch(state, "instance", stages, aspp) if "ins_embed_head.center_predictor.bias" in state else None,
        strides_to_4(len(semantic.skip_channels)),
        convs=ConvStack() if separable else two_dense_convs(),
        center_convs=two_dense_convs(),
        skip_first=True,
        align_corners=False,
    )
    coco = "coco" in architecture  # its images have any size and are padded to the crop size
    input = _input(state, gray=isinstance(backbone, XceptionConfig), multiple=height if coco else 32)
    classes = output_channels(state, "sem_seg_head.predictor.bias")
    decoder = CenterDecoder(nms_kernel=41, stuff_area=4096) if coco else CenterDecoder()
    decoder.align_corners = False
    return Description(config, input, _renames(stages), classes, decoder if config.instance else None)


def two_dense_convs() -> ConvStack:
    """The convolutions of Detectron2 where they are not separable."""
    return ConvStack(kernel_size=3, count=2, separable=False)


def _stages(state: State) -> list[str]:
    """The stages of the backbone that the decoders use, such as ``res5``, the coarsest first."""
    matches = (re.match(r"sem_seg_head\.decoder\.(res\d)\.", key) for key in state)
    return sorted({match[1] for match in matches if match}, reverse=True)


def _backbone(state: State, *, multi_grid: tuple[int, ...]) -> Backbone:
    if "backbone.block21.sep_conv1.block.depthwise.weight" in state:
        return XceptionConfig(output_stride=16)
    if "backbone.stage4.0.branches.0.0.conv1.weight" in state:
        width: Any = output_channels(state, "backbone.stage4.0.branches.0.0.conv1.weight")
        return HRNetConfig(width, align_corners=True)
    blocks = sum(re.fullmatch(r"backbone\.res4\.\d+\.conv1\.weight", key) is not None for key in state)
    if blocks not in DEPTHS:
        raise UserError(
            f"panoptic-deeplab: the backbone of this Detectron2 file has {blocks} blocks at stride 16; expected "
            "ResNet-50, 101 or 152, HRNet or Xception-65"
        )
    return ResNetConfig(
        DEPTHS[blocks],
        output_stride=16,
        dilation="all",
        multi_grid=multi_grid,
        stem="deep" if "backbone.stem.conv3.weight" in state else "7x7",
    )


def _branch(state: State, name: str, stages: Sequence[str], aspp: ASPPConfig) -> DecoderBranch:
    def channels(*keys: str) -> int:
        return output_channels(state, *(f"{PARTS[name]}.{key}.weight" for key in keys))

    top, *finer = stages
    pyramid = f"decoder.{top}.project_conv"
    fuse, head = f"decoder.{finer[-1]}.fuse_conv", SCORES[name][0][1]
    hidden = any(key.startswith(f"{PARTS[name]}.{head}.") for key in state)
    separable = f"{PARTS[name]}.{pyramid}.convs.1.depthwise.weight" in state
    return DecoderBranch(
        replace(
            aspp,
            channels=channels(f"{pyramid}.convs.0"),
            out_channels=channels(f"{pyramid}.project"),
            separable=separable,
        ),
        tuple(channels(f"decoder.{stage}.project_conv") for stage in finer),
        channels(f"{fuse}.pointwise", f"{fuse}.1"),
        channels(f"{head}.pointwise", f"{head}.1") if hidden else 0,
    )


def _input(state: State, *, gray: bool, multiple: int) -> InputContract:
    """Mean and standard deviation from the file, else those of the backbone. ``gray``: 128 for both."""
    if "pixel_mean" in state and "pixel_std" in state:
        mean, std = (
            tuple(round(value, 4) for value in state[f"pixel_{name}"].flatten().tolist())
            for name in ("mean", "std")
        )
        return InputContract(mean=mean, std=std, fill_value=mean, multiple=multiple)
    if gray:
        return InputContract(mean=(128.0,) * 3, std=(128.0,) * 3, fill_value=(128.0,) * 3, multiple=multiple)
    return InputContract(multiple=multiple)


def _conv(theirs: str, ours: str) -> Renames:
    """In Detectron2 the norm is a submodule of the convolution."""
    return ((rf"{theirs}\.norm\.", f"{ours}.1."), (rf"{theirs}\.", f"{ours}.0."))


def _convs(theirs: str, ours: str) -> Renames:
    """One separable convolution or several plain ones."""
    return (
        *_conv(rf"{theirs}\.depthwise", f"{ours}.0.0"),
        *_conv(rf"{theirs}\.pointwise", f"{ours}.0.1"),
        *_conv(rf"{theirs}\.(\d)", rf"{ours}.\1"),
    )


def _resnet() -> Renames:
    renames = [(r"backbone\.stem\.conv(\d)\.norm\.", r"backbone.bn\1."), (r"backbone\.stem\.", "backbone.")]
    for stage in (2, 3, 4, 5):
        block, ours = rf"backbone\.res{stage}\.(\d+)", rf"backbone.layer{stage - 1}.\1"
        renames += [
            *_conv(rf"{block}\.shortcut", f"{ours}.downsample"),
            (rf"{block}\.conv(\d)\.norm\.", rf"{ours}.bn\2."),
            (rf"{block}\.", f"{ours}."),
        ]
    return tuple(renames)


def _renames(stages: Sequence[str]) -> Renames:
    renames = list(_resnet())
    top, *finer = stages
    for name, part in PARTS.items():
        ours, pyramid = f"head.{name}.decoder", rf"{part}\.decoder\.{top}\.project_conv"
        renames += [
            (rf"{pyramid}\.convs\.4\.1\.", f"{ours}.aspp.pooled.0."),
            *_conv(rf"{pyramid}\.convs\.(\d)\.depthwise", rf"{ours}.aspp.branches.\1.0"),
            *_conv(rf"{pyramid}\.convs\.(\d)\.pointwise", rf"{ours}.aspp.branches.\1.1"),
            *_conv(rf"{pyramid}\.convs\.(\d)", rf"{ours}.aspp.branches.\1"),
            *_conv(rf"{pyramid}\.project", f"{ours}.aspp.project"),
        ]
        for index, stage in enumerate(finer):
            renames += _conv(rf"{part}\.decoder\.{stage}\.project_conv", f"{ours}.project.{index}")
            renames += _convs(rf"{part}\.decoder\.{stage}\.fuse_conv", f"{ours}.fuse.{index}")
        for score, head, predictor in SCORES[name]:
            own_head = f"head.{name}.scores.{score}"
            renames += _convs(rf"{part}\.{head}", f"{own_head}.hidden")
            renames.append((rf"{part}\.{predictor}\.", f"{own_head}.classifier."))
    return tuple(renames)
