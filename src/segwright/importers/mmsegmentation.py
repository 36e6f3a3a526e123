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
from segwright.models.backbones.hrnet import HighResolutionModule, HRNet, HRNetConfig
from segwright.models.backbones.resnet import BasicBlock, ResNet, ResNetConfig
from segwright.models.deeplab_v3 import DeepLabV3Config
from segwright.models.deeplab_v3plus import DeepLabV3PlusConfig
from segwright.models.fcn import FCNConfig
from segwright.models.layers.aspp import ASPPConfig
from segwright.models.layers.decoder import ATROUS_RATES
from segwright.models.layers.features import Backbone
from segwright.models.layers.norm_layers import norm_layer
from segwright.models.layers.segmenter import AuxiliaryHeadConfig
from segwright.models.ocr import OCRConfig
from segwright.models.pspnet import PSPNetConfig
from segwright.models.upernet import UPerNetConfig
from segwright.models.weights.pretrained import load_pretrained

# The first parts of a config's name; the rest describes the training. Not supported: "-d32", which has a stride and
# dilation in the same stages.
NAME = re.compile(
    r"(?:(?:fcn|pspnet|deeplabv3|deeplabv3plus)_r(?:18|50|101)b?-d8"
    r"|deeplabv3(?:plus)?_r101-d16-mg124|upernet_r(?:18|50|101)|(?:fcn|ocrnet)_hr(?:18|48))(?![A-Za-z0-9]|-d\d)"
)


@dataclass(slots=True)
class SlimResNetConfig(ResNetConfig):
    """The ResNet of mmsegmentation.

    Its deep stem has half the channels of that of ``ResNetConfig``. The second convolution of a ``BasicBlock`` is never
    dilated.
    """

    def build(self, channels: int) -> ResNet:
        """The network for images of ``channels`` bands."""
        network = ResNet(replace(self, stem="7x7"), channels)  # its stem has 64 channels, too
        if self.stem == "deep":
            for number, (before, after) in enumerate(((channels, 32), (32, 32), (32, 64)), start=1):
                conv = nn.Conv2d(before, after, 3, 2 if number == 1 else 1, 1, bias=False)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                setattr(network, f"conv{number}", conv)
                setattr(network, f"bn{number}", norm_layer(self.norm, after))
        for block in network.modules():
            if isinstance(block, BasicBlock):
                block.conv2.dilation = block.conv2.padding = (1, 1)
        load_pretrained(network, self.weights, self.published_name())
        return network


@dataclass(slots=True)
class SteppedHRNetConfig(HRNetConfig):
    """The HRNet of mmsegmentation, which upsamples by a power of two and then resizes to the size of the branch.

    ``HRNetConfig`` resizes once. Results differ only if a side of the image is not a multiple of 32.
    """

    def build(self, channels: int) -> HRNet:
        """The network without its classifier."""
        network = HRNetConfig.build(self, channels)
        for module in network.modules():
            if isinstance(module, HighResolutionModule):
                for factor, path in _upsampling_paths(module):
                    path.append(nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=False))
        return network


def _upsampling_paths(module: HighResolutionModule) -> Iterator[tuple[float, nn.Sequential]]:
    """(scale factor, path) for each path from a coarser to a finer branch."""
    for target, paths in enumerate(module.fuse_layers):
        assert isinstance(paths, nn.ModuleList)
        for source, path in enumerate(paths):
            if source > target:
                assert isinstance(path, nn.Sequential)
                yield 2.0 ** (source - target), path


def _conv(theirs: str, ours: str) -> Renames:
    """A convolution and its norm: ``conv`` and ``bn`` in mmsegmentation, ``0`` and ``1`` here."""
    return ((rf"{theirs}\.conv\.", f"{ours}.0."), (rf"{theirs}\.bn\.", f"{ours}.1."))


def _separable(theirs: str, ours: str) -> tuple[tuple[str, str], ...]:
    """The two convolutions of a depthwise separable one, as arguments of ``_head``."""
    return ((rf"{theirs}\.depthwise_conv", f"{ours}.0"), (rf"{theirs}\.pointwise_conv", f"{ours}.1"))


def _head(*convs: tuple[str, str], classifier: str = "head.classifier.") -> Renames:
    """The keys of ``decode_head``: pairs of the names of a convolution there and here, and the classifier."""
    renames = [rename for theirs, ours in convs for rename in _conv(rf"decode_head\.{theirs}", ours)]
    return (*renames, (r"decode_head\.conv_seg\.", classifier))


SHARED: Renames = (
    *((rf"backbone\.stem\.{3 * index}\.", f"backbone.conv{index + 1}.") for index in range(3)),
    *((rf"backbone\.stem\.{3 * index + 1}\.", f"backbone.bn{index + 1}.") for index in range(3)),
    *_conv(r"auxiliary_head\.convs\.0", "auxiliary.0.hidden"),
    (r"auxiliary_head\.conv_seg\.", "auxiliary.0.classifier."),
)
POOLED = (r"psp_modules\.(\d)\.1", r"head.pyramid.stages.\1")
PSPNET = _head(POOLED, ("bottleneck", "head.bottleneck"))
UPERNET = _head(
    POOLED,
    ("bottleneck", "head.top"),
    (r"lateral_convs\.(\d)", r"head.lateral.\1"),
    (r"fpn_convs\.(\d)", r"head.smooth.\1"),
    ("fpn_bottleneck", "head.fuse"),
)
FCN_ON_HRNET = _head((r"convs\.0", "head.scorer.hidden"), classifier="head.scorer.classifier.")
FCN_ON_RESNET = _head(
    (r"convs\.(\d)", r"head.convs.\1"),
    ("conv_cat", "head.scorer.hidden"),
    classifier="head.scorer.classifier.",
)
DEEPLABV3 = _head(
    (r"image_pool\.1", "head.aspp.pooled"),
    (r"aspp_modules\.(\d)", r"head.aspp.branches.\1"),
    ("bottleneck", "head.aspp.project"),
)
DEEPLABV3PLUS = _head(
    (r"image_pool\.1", "head.decoder.aspp.pooled"),
    *_separable(r"aspp_modules\.(\d)", r"head.decoder.aspp.branches.\1"),
    (r"aspp_modules\.(\d)", r"head.decoder.aspp.branches.\1"),
    ("bottleneck", "head.decoder.aspp.project"),
    ("c1_bottleneck", "head.decoder.project.0"),
    *_separable(r"sep_bottleneck\.(\d)", r"head.decoder.fuse.0.\1"),
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
    """The network of a config, by the first parts of its name, such as ``pspnet_r50-d8`` or ``upernet_r18``.

    The tensors determine channels and stem. Of the rest of the name only ``769x769`` matters: networks trained with
    this crop size resize with aligned corners.
    """
    name = NAME.match(architecture)
    if name is None:
        raise UserError(
            f"unknown mmsegmentation architecture {architecture!r}; expected the name of a config that starts with: "
            "fcn, pspnet, deeplabv3 or deeplabv3plus with _r18-d8, _r50-d8 or _r101-d8 (or _r50b-d8 and so on), "
            "deeplabv3 or deeplabv3plus with _r101-d16-mg124, upernet with _r18, _r50 or _r101, fcn or ocrnet with "
            "_hr18 or _hr48"
        )
    head, backbone_name = name[0].split("_")
    backbone = _backbone(backbone_name, state)
    config, renames = HEADS[head](state, backbone, align_corners="769x769" in architecture)
    classes = output_channels(state, "decode_head.conv_seg.bias", "decode_head.1.conv_seg.bias")
    return Description(config, InputContract(multiple=1), (*SHARED, *renames), classes)


def _backbone(name: str, state: State) -> SlimResNetConfig | SteppedHRNetConfig:
    """The backbone called ``hr18``, ``r50``, ``r50b-d8`` or ``r101-d16-mg124``."""
    numbers: list[Any] = [int(digits) for digits in re.findall(r"\d+", name)]
    if name.startswith("hr"):
        return SteppedHRNetConfig(numbers[0])
    # "mg124": the dilations of the blocks are 1, 2, 4. multi_grid holds factors of the stage's dilation, which is 2.
    return SlimResNetConfig(
        numbers[0],
        output_stride=numbers[1] if len(numbers) > 1 else 32,
        stem="deep" if "backbone.stem.0.weight" in state else "7x7",
        multi_grid=(1, 1, 2) if len(numbers) > 2 else (1,),
    )


def _channels(state: State, conv: str) -> int:
    return output_channels(state, f"decode_head.{conv}.conv.weight")


def _ratio(state: State, key: str) -> float:
    """The output channels of a convolution as a fraction of its input channels."""
    return output_channels(state, key) / state[key].shape[1]


def _auxiliary(state: State) -> tuple[AuxiliaryHeadConfig, ...]:
    key = "auxiliary_head.convs.0.conv.weight"
    return (AuxiliaryHeadConfig(hidden_ratio=_ratio(state, key), in_evaluation=True),) if key in state else ()


def _fcn(state: State, backbone: Backbone, *, align_corners: bool) -> tuple[ModelConfig, Renames]:
    first, merge = "decode_head.convs.0.conv.weight", isinstance(backbone, HRNetConfig)
    config = FCNConfig(
        backbone,
        hidden_ratio=_ratio(state, first),
        kernel_size=state[first].shape[-1],
        concat_convs=0 if merge else 2,
        dropout=0.0 if merge else 0.1,
        spatial_dropout=True,
        merge_levels=merge,
        align_corners=align_corners,
        auxiliary=_auxiliary(state),
    )
    return config, FCN_ON_HRNET if merge else FCN_ON_RESNET


def _pspnet(state: State, backbone: Backbone, *, align_corners: bool) -> tuple[ModelConfig, Renames]:
    channels, auxiliary = _channels(state, "bottleneck"), _auxiliary(state)
    return PSPNetConfig(backbone, channels=channels, align_corners=align_corners, auxiliary=auxiliary), PSPNET


def _aspp(state: State, backbone: SlimResNetConfig, *, separable: bool, dropout: float) -> ASPPConfig:
    return ASPPConfig(
        ATROUS_RATES[backbone.output_stride],
        channels=_channels(state, "aspp_modules.0"),
        out_channels=_channels(state, "bottleneck"),
        projection_kernel_size=3,
        dropout=dropout,
        spatial_dropout=True,
        pooled_first=True,
        separable=separable,
    )


def _deeplabv3(
    state: State, backbone: SlimResNetConfig, *, align_corners: bool
) -> tuple[ModelConfig, Renames]:
    """``align_corners`` is not used: this network resizes only single values, those of the pooled branch."""
    aspp = _aspp(state, backbone, separable=False, dropout=0.1)
    return DeepLabV3Config(backbone, aspp, hidden_channels=0, auxiliary=_auxiliary(state)), DEEPLABV3


def _deeplabv3plus(
    state: State, backbone: SlimResNetConfig, *, align_corners: bool
) -> tuple[ModelConfig, Renames]:
    config = DeepLabV3PlusConfig(
        backbone,
        _aspp(state, backbone, separable=True, dropout=0.0),
        low_level_channels=_channels(state, "c1_bottleneck"),
        channels=_channels(state, "sep_bottleneck.1.pointwise_conv"),
        align_corners=align_corners,
        dropout=0.1,
        auxiliary=_auxiliary(state),
    )
    return config, DEEPLABV3PLUS


def _upernet(state: State, backbone: Backbone, *, align_corners: bool) -> tuple[ModelConfig, Renames]:
    config = UPerNetConfig(
        backbone,
        channels=_channels(state, "fpn_bottleneck"),
        pooled_channels=_channels(state, "psp_modules.0.1"),
        align_corners=align_corners,
        resize_before_conv=False,
        dropout=0.1,
        auxiliary=_auxiliary(state),
    )
    return config, UPERNET


def _ocrnet(state: State, backbone: Backbone, *, align_corners: bool) -> tuple[ModelConfig, Renames]:
    channels = _channels(state, "1.bottleneck")
    key_channels = _channels(state, "1.object_context_block.value_project")
    config = OCRConfig(backbone, channels, key_channels, dropout=0.0, align_corners=align_corners)
    return config, OCRNET


HEADS: dict[str, Callable[..., tuple[ModelConfig, Renames]]] = {
    "fcn": _fcn,
    "pspnet": _pspnet,
    "deeplabv3": _deeplabv3,
    "deeplabv3plus": _deeplabv3plus,
    "upernet": _upernet,
    "ocrnet": _ocrnet,
}
FAMILY = Family(describe, threshold=0.3)  # its default for a single output channel
