"""Detectron2's DeepLab and Panoptic-DeepLab projects: the tree of keys that files of S5's newer recipes have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

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

# A branch of ours is called so there; each of its scores is made by a stack of convolutions and a prediction.
PARTS = {"semantic": "sem_seg_head", "instance": "ins_embed_head"}
SCORES = {
    "semantic": (("semantic", "head", "predictor"),),
    "instance": (
        ("center", "center_head", "center_predictor"),
        ("offset", "offset_head", "offset_predictor"),
    ),
}
DEPTHS = {6: 50, 23: 101, 36: 152}  # of a ResNet by its blocks at stride 16


def is_one(state: State) -> bool:
    """Whether a file is of these projects."""
    return "sem_seg_head.predictor.bias" in state


def describe(architecture: str, state: State) -> Description:
    """The network of a config file by its stem, such as panoptic_deeplab_R_52_os16_mg124_poly_90k_bs32_crop_512_1024.

    The tensors say nearly everything. Of the name count ``mg124`` (the last blocks of a ResNet are dilated more and
    more) and the crop of training, which the pooled branch averages over: 512x1024 where it does not say.
    """
    found = re.search(r"_crop_(\d+)_(\d+)", architecture)
    height, width = (int(found[1]), int(found[2])) if found else (512, 1024)
    backbone = _backbone(state, multi_grid=(1, 2, 4) if "_mg124" in architecture else (1,))
    deepest = 32 if isinstance(backbone, HRNetConfig) else 16
    atrous = ASPPConfig(
        ATROUS_RATES[deepest], dropout=0.1, pooled="bias", pooling_window=(height // deepest, width // deepest)
    )
    stages = _stages(state)
    semantic = _branch(state, "semantic", stages, atrous)
    separable = f"sem_seg_head.decoder.{stages[-1]}.fuse_conv.depthwise.weight" in state
    config = PanopticDeepLabConfig(
        backbone,
        semantic,
        _branch(state, "instance", stages, atrous)
        if "ins_embed_head.center_predictor.bias" in state
        else None,
        strides_to_4(len(semantic.projected)),
        convs=ConvStack() if separable else plain(),
        center_convs=plain(),
        skip_first=True,
        align_corners=False,
    )
    coco = "coco" in architecture  # photographs of any size are padded to the crop
    input = _contract(state, gray=isinstance(backbone, XceptionConfig), multiple=height if coco else 32)
    classes = output_channels(state, "sem_seg_head.predictor.bias")
    decoder = CenterDecoder(nms_kernel=41, stuff_area=4096) if coco else CenterDecoder()
    decoder.align_corners = False
    return Description(config, input, _renames(stages), classes, decoder if config.instance else None)


def plain() -> ConvStack:
    """What stands where convolutions are not separable."""
    return ConvStack(kernel_size=3, count=2, separable=False)


def _stages(state: State) -> list[str]:
    """``res5`` and so on, those that the decoders read, the coarsest first."""
    found = (re.match(r"sem_seg_head\.decoder\.(res\d)\.", key) for key in state)
    return sorted({match[1] for match in found if match}, reverse=True)


def _backbone(state: State, *, multi_grid: tuple[int, ...]) -> Backbone:
    if "backbone.block21.sep_conv1.block.depthwise.weight" in state:
        return XceptionConfig(output_stride=16)
    if "backbone.stage4.0.branches.0.0.conv1.weight" in state:
        width = output_channels(state, "backbone.stage4.0.branches.0.0.conv1.weight")
        return HRNetConfig(width, align_corners=True)  # type: ignore[arg-type]
    blocks = sum(re.fullmatch(r"backbone\.res4\.\d+\.conv1\.weight", key) is not None for key in state)
    if blocks not in DEPTHS:
        raise UserError(
            f"panoptic-deeplab: a file of Detectron2 with a backbone of {blocks} blocks at stride 16; expected "
            "ResNet-50, 101 or 152, HRNet or Xception-65"
        )
    return ResNetConfig(
        DEPTHS[blocks],
        output_stride=16,
        dilation="all",
        multi_grid=multi_grid,
        stem="deep" if "backbone.stem.conv3.weight" in state else "7x7",
    )


def _branch(state: State, name: str, stages: Sequence[str], atrous: ASPPConfig) -> DecoderBranch:
    def width(*keys: str) -> int:
        return output_channels(state, *(f"{PARTS[name]}.{key}.weight" for key in keys))

    top, *finer = stages
    pyramid = f"decoder.{top}.project_conv"
    fuse, head = f"decoder.{finer[-1]}.fuse_conv", SCORES[name][0][1]
    hidden = any(key.startswith(f"{PARTS[name]}.{head}.") for key in state)
    separable = f"{PARTS[name]}.{pyramid}.convs.1.depthwise.weight" in state
    return DecoderBranch(
        replace(
            atrous,
            width=width(f"{pyramid}.convs.0"),
            projected=width(f"{pyramid}.project"),
            separable=separable,
        ),
        tuple(width(f"decoder.{stage}.project_conv") for stage in finer),
        width(f"{fuse}.pointwise", f"{fuse}.1"),
        width(f"{head}.pointwise", f"{head}.1") if hidden else 0,
    )


def _contract(state: State, *, gray: bool, multiple: int) -> InputContract:
    """Mean and deviation as the file has them, else those of the backbone."""
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
    """A convolution owns its norm there."""
    return ((rf"{theirs}\.norm\.", f"{ours}.1."), (rf"{theirs}\.", f"{ours}.0."))


def _convs(theirs: str, ours: str) -> Renames:
    """One separable convolution or several plain ones."""
    return (
        *_conv(rf"{theirs}\.depthwise", f"{ours}.0.0"),
        *_conv(rf"{theirs}\.pointwise", f"{ours}.0.1"),
        *_conv(rf"{theirs}\.(\d)", rf"{ours}.\1"),
    )


def _resnet() -> Renames:
    found = [(r"backbone\.stem\.conv(\d)\.norm\.", r"backbone.bn\1."), (r"backbone\.stem\.", "backbone.")]
    for stage in (2, 3, 4, 5):
        block, ours = rf"backbone\.res{stage}\.(\d+)", rf"backbone.layer{stage - 1}.\1"
        found += [
            *_conv(rf"{block}\.shortcut", f"{ours}.downsample"),
            (rf"{block}\.conv(\d)\.norm\.", rf"{ours}.bn\2."),
            (rf"{block}\.", f"{ours}."),
        ]
    return tuple(found)


def _renames(stages: Sequence[str]) -> Renames:
    found = list(_resnet())
    top, *finer = stages
    for name, part in PARTS.items():
        ours, pyramid = f"head.{name}.decoder", rf"{part}\.decoder\.{top}\.project_conv"
        found += [
            (rf"{pyramid}\.convs\.4\.1\.", f"{ours}.aspp.pooled.0."),
            *_conv(rf"{pyramid}\.convs\.(\d)\.depthwise", rf"{ours}.aspp.branches.\1.0"),
            *_conv(rf"{pyramid}\.convs\.(\d)\.pointwise", rf"{ours}.aspp.branches.\1.1"),
            *_conv(rf"{pyramid}\.convs\.(\d)", rf"{ours}.aspp.branches.\1"),
            *_conv(rf"{pyramid}\.project", f"{ours}.aspp.project"),
        ]
        for place, stage in enumerate(finer):
            found += _conv(rf"{part}\.decoder\.{stage}\.project_conv", f"{ours}.project.{place}")
            found += _convs(rf"{part}\.decoder\.{stage}\.fuse_conv", f"{ours}.fuse.{place}")
        for score, head, predictor in SCORES[name]:
            place_of = f"head.{name}.scores.{score}"
            found += _convs(rf"{part}\.{head}", f"{place_of}.hidden")
            found.append((rf"{part}\.{predictor}\.", f"{place_of}.classifier."))
    return tuple(found)
