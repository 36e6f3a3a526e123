"""OpenMMLab's mmsegmentation, versions 0 and 1: FCN, PSPNet, DeepLabV3, DeepLabV3+, UPerNet and OCRNet."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from segwright.contracts import InputContract, ModelConfig
from segwright.errors import UserError
from segwright.importers.description import Description, Family, Renames, State, output_channels
from segwright.models.backbones.hrnet import Exchange, HRNet, HRNetConfig
from segwright.models.backbones.resnet import BasicBlock, ResNet, ResNetConfig
from segwright.models.backbones.timm import fill
from segwright.models.deeplab_v3 import DeepLabV3Config
from segwright.models.deeplab_v3plus import DeepLabV3PlusConfig
from segwright.models.fcn import FCNConfig
from segwright.models.layers.aspp import ASPPConfig
from segwright.models.layers.decoder import ATROUS_RATES
from segwright.models.layers.norm_layers import norm_layer
from segwright.models.layers.segmenter import AuxiliaryHeadConfig
from segwright.models.ocr import OCRConfig
from segwright.models.pspnet import PSPNetConfig
from segwright.models.upernet import UPerNetConfig

# The beginning of a config's name; what follows says how the network was trained. "-d32" is left out: there the last
# stages have a stride and are dilated as well.
NAME = re.compile(
    r"(?:(?:fcn|pspnet|deeplabv3|deeplabv3plus)_r(?:18|50|101)b?-d8"
    r"|deeplabv3(?:plus)?_r101-d16-mg124|upernet_r(?:18|50|101)|(?:fcn|ocrnet)_hr(?:18|48))(?![A-Za-z0-9]|-d\d)"
)


@dataclass(slots=True)
class SlimResNetConfig(ResNetConfig):
    """A ResNet whose deep stem has half the channels; of a ``BasicBlock`` the second convolution is never dilated."""

    def build(self, channels: int) -> ResNet:
        """The network for images of ``channels`` bands."""
        network = ResNet(replace(self, stem="7x7"), channels)  # which has as many as this deep one
        if self.stem == "deep":
            for number, (inputs, outputs) in enumerate(((channels, 32), (32, 32), (32, 64)), start=1):
                conv = nn.Conv2d(inputs, outputs, 3, 2 if number == 1 else 1, 1, bias=False)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                setattr(network, f"conv{number}", conv)
                setattr(network, f"bn{number}", norm_layer(self.norm, outputs))
        for block in network.modules():
            if isinstance(block, BasicBlock):
                block.conv2.dilation = block.conv2.padding = (1, 1)
        fill(network, self.weights, self.published_name())
        return network


@dataclass(slots=True)
class SteppedHRNetConfig(HRNetConfig):
    """An HRNet that enlarges by a power of two, then to the size asked for: the same but at sides like 65."""

    def build(self, channels: int) -> HRNet:
        """The network without its classifier."""
        network = HRNetConfig.build(self, channels)
        for exchange in network.modules():
            if isinstance(exchange, Exchange):
                for factor, path in _upward(exchange):
                    path.append(nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=False))
        return network


def _upward(exchange: Exchange) -> Iterator[tuple[float, nn.Sequential]]:
    for end, paths in enumerate(exchange.fuse_layers):
        assert isinstance(paths, nn.ModuleList)
        for start, path in enumerate(paths):
            if start > end:
                assert isinstance(path, nn.Sequential)
                yield 2.0 ** (start - end), path


def _conv(theirs: str, ours: str) -> Renames:
    """A convolution and its norm, which are called so there."""
    return ((rf"{theirs}\.conv\.", f"{ours}.0."), (rf"{theirs}\.bn\.", f"{ours}.1."))


def _separable(theirs: str, ours: str) -> Renames:
    return (
        *_conv(rf"{theirs}\.depthwise_conv", f"{ours}.0"),
        *_conv(rf"{theirs}\.pointwise_conv", f"{ours}.1"),
    )


SHARED: Renames = (
    *((rf"backbone\.stem\.{3 * place}\.", f"backbone.conv{place + 1}.") for place in range(3)),
    *((rf"backbone\.stem\.{3 * place + 1}\.", f"backbone.bn{place + 1}.") for place in range(3)),
    *_conv(r"auxiliary_head\.convs\.0", "auxiliary.0.hidden"),
    (r"auxiliary_head\.conv_seg\.", "auxiliary.0.classifier."),
)
MERGED: Renames = (
    *_conv(r"decode_head\.convs\.0", "head.scorer.hidden"),
    (r"decode_head\.conv_seg\.", "head.scorer.classifier."),
)
STACKED: Renames = (
    *_conv(r"decode_head\.convs\.(\d)", r"head.beside.\1"),
    *_conv(r"decode_head\.conv_cat", "head.scorer.hidden"),
    (r"decode_head\.conv_seg\.", "head.scorer.classifier."),
)
PSPNET: Renames = (
    *_conv(r"decode_head\.psp_modules\.(\d)\.1", r"head.pyramid.stages.\1"),
    *_conv(r"decode_head\.bottleneck", "head.bottleneck"),
    (r"decode_head\.conv_seg\.", "head.classifier."),
)
DEEPLABV3: Renames = (
    *_conv(r"decode_head\.image_pool\.1", "head.aspp.pooled"),
    *_conv(r"decode_head\.aspp_modules\.(\d)", r"head.aspp.branches.\1"),
    *_conv(r"decode_head\.bottleneck", "head.aspp.project"),
    (r"decode_head\.conv_seg\.", "head.classifier."),
)
DEEPLABV3PLUS: Renames = (
    *_conv(r"decode_head\.image_pool\.1", "head.decoder.aspp.pooled"),
    *_separable(r"decode_head\.aspp_modules\.(\d)", r"head.decoder.aspp.branches.\1"),
    *_conv(r"decode_head\.aspp_modules\.(\d)", r"head.decoder.aspp.branches.\1"),
    *_conv(r"decode_head\.bottleneck", "head.decoder.aspp.project"),
    *_conv(r"decode_head\.c1_bottleneck", "head.decoder.project.0"),
    *_separable(r"decode_head\.sep_bottleneck\.(\d)", r"head.decoder.fuse.0.\1"),
    (r"decode_head\.conv_seg\.", "head.classifier."),
)
UPERNET: Renames = (
    *_conv(r"decode_head\.psp_modules\.(\d)\.1", r"head.pyramid.stages.\1"),
    *_conv(r"decode_head\.bottleneck", "head.top"),
    *_conv(r"decode_head\.lateral_convs\.(\d)", r"head.lateral.\1"),
    *_conv(r"decode_head\.fpn_convs\.(\d)", r"head.smooth.\1"),
    *_conv(r"decode_head\.fpn_bottleneck", "head.fuse"),
    (r"decode_head\.conv_seg\.", "head.classifier."),
)
OCRNET: Renames = (
    *_conv(r"decode_head\.0\.convs\.0", "regions.0"),
    (r"decode_head\.0\.conv_seg\.", "regions.1.classifier."),
    *_conv(r"decode_head\.1\.bottleneck", "pixels"),
    *_conv(r"decode_head\.1\.object_context_block\.(query|key)_project\.(\d)", r"attention.\1.\2"),
    *_conv(r"decode_head\.1\.object_context_block\.(value|out)_project", r"attention.\1"),
    *_conv(r"decode_head\.1\.object_context_block\.bottleneck", "fuse"),
    (r"decode_head\.1\.conv_seg\.", "score.classifier."),
)


def describe(architecture: str, state: State) -> Description:
    """The network of the beginning of a config's name, such as ``pspnet_r50-d8`` or ``upernet_r18``.

    Widths and the stem are read off the tensors. Of what follows in a name only ``769x769`` counts: the networks of
    this crop resize with aligned corners.
    """
    found = NAME.match(architecture)
    if found is None:
        raise UserError(
            f"mmsegmentation has no architecture {architecture!r} that is known here; expected the beginning of a "
            "config's name: fcn, pspnet, deeplabv3 or deeplabv3plus with _r18-d8, _r50-d8 or _r101-d8 (r50b-d8 and so "
            "on), deeplabv3 or deeplabv3plus with _r101-d16-mg124, upernet with _r18, _r50 or _r101, fcn or ocrnet "
            "with _hr18 or _hr48"
        )
    head, name = found[0].split("_")
    backbone = _backbone(name, state)
    config, renames = HEADS[head](state, backbone, align_corners="769x769" in architecture)
    classes = output_channels(state, "decode_head.conv_seg.bias", "decode_head.1.conv_seg.bias")
    return Description(config, InputContract(multiple=1), (*SHARED, *renames), classes)


def _backbone(name: str, state: State) -> SlimResNetConfig | SteppedHRNetConfig:
    """Of ``hr18``, ``r50``, ``r50b-d8`` or ``r101-d16-mg124``."""
    number, *more = (int(digits) for digits in re.findall(r"\d+", name))
    if name.startswith("hr"):
        return SteppedHRNetConfig(number)  # type: ignore[arg-type]
    # The dilations 1, 2, 4 of "mg124" are those of the blocks, not factors of the stage's, which is 2.
    return SlimResNetConfig(
        number,
        output_stride=more[0] if more else 32,  # type: ignore[arg-type]
        stem="deep" if "backbone.stem.0.weight" in state else "7x7",
        multi_grid=(1, 1, 2) if len(more) > 1 else (1,),
    )


def _width(state: State, conv: str) -> int:
    return output_channels(state, f"decode_head.{conv}.conv.weight")


def _share(state: State, key: str) -> float:
    """What part of its input channels a convolution gives."""
    return output_channels(state, key) / state[key].shape[1]


def _auxiliary(state: State) -> tuple[AuxiliaryHeadConfig, ...]:
    key = "auxiliary_head.convs.0.conv.weight"
    return (AuxiliaryHeadConfig(hidden_ratio=_share(state, key), in_evaluation=True),) if key in state else ()


def _fcn(state: State, backbone: Any, *, align_corners: bool) -> tuple[ModelConfig, Renames]:
    first, merge = "decode_head.convs.0.conv.weight", isinstance(backbone, HRNetConfig)
    config = FCNConfig(
        backbone,
        hidden_ratio=_share(state, first),
        kernel_size=state[first].shape[-1],
        concat_convs=0 if merge else 2,
        dropout=0.0 if merge else 0.1,
        spatial_dropout=True,
        merge_levels=merge,
        align_corners=align_corners,
        auxiliary=_auxiliary(state),
    )
    return config, MERGED if merge else STACKED


def _pspnet(state: State, backbone: Any, *, align_corners: bool) -> tuple[ModelConfig, Renames]:
    width, auxiliary = _width(state, "bottleneck"), _auxiliary(state)
    return PSPNetConfig(backbone, channels=width, align_corners=align_corners, auxiliary=auxiliary), PSPNET


def _atrous(state: State, backbone: SlimResNetConfig, *, separable: bool, dropout: float) -> ASPPConfig:
    return ASPPConfig(
        ATROUS_RATES[backbone.output_stride],
        channels=_width(state, "aspp_modules.0"),
        out_channels=_width(state, "bottleneck"),
        projection_kernel_size=3,
        dropout=dropout,
        spatial_dropout=True,
        pooled_first=True,
        separable=separable,
    )


def _deeplabv3(state: State, backbone: Any, *, align_corners: bool) -> tuple[ModelConfig, Renames]:
    """Nothing is resized but one value of the pooled branch."""
    atrous = _atrous(state, backbone, separable=False, dropout=0.1)
    return DeepLabV3Config(backbone, atrous, hidden_channels=0, auxiliary=_auxiliary(state)), DEEPLABV3


def _deeplabv3plus(state: State, backbone: Any, *, align_corners: bool) -> tuple[ModelConfig, Renames]:
    config = DeepLabV3PlusConfig(
        backbone,
        _atrous(state, backbone, separable=True, dropout=0.0),
        low_level_channels=_width(state, "c1_bottleneck"),
        channels=_width(state, "sep_bottleneck.1.pointwise_conv"),
        align_corners=align_corners,
        dropout=0.1,
        auxiliary=_auxiliary(state),
    )
    return config, DEEPLABV3PLUS


def _upernet(state: State, backbone: Any, *, align_corners: bool) -> tuple[ModelConfig, Renames]:
    config = UPerNetConfig(
        backbone,
        channels=_width(state, "fpn_bottleneck"),
        pooled_channels=_width(state, "psp_modules.0.1"),
        align_corners=align_corners,
        resize_before_conv=False,
        dropout=0.1,
        auxiliary=_auxiliary(state),
    )
    return config, UPERNET


def _ocrnet(state: State, backbone: Any, *, align_corners: bool) -> tuple[ModelConfig, Renames]:
    width = _width(state, "1.bottleneck")
    inner = _width(state, "1.object_context_block.value_project")
    config = OCRConfig(backbone, width, inner, dropout=0.0, align_corners=align_corners)
    return config, OCRNET


HEADS: dict[str, Callable[..., tuple[ModelConfig, Renames]]] = {
    "fcn": _fcn,
    "pspnet": _pspnet,
    "deeplabv3": _deeplabv3,
    "deeplabv3plus": _deeplabv3plus,
    "upernet": _upernet,
    "ocrnet": _ocrnet,
}
FAMILY = Family(describe)
