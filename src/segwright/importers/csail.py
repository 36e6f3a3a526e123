"""Importer of CSAIL's semantic-segmentation-pytorch: encoder and decoder files, also of its older versions."""

from __future__ import annotations

import re
from typing import Any

from segwright.contracts import InputContract, ModelConfig
from segwright.errors import UserError
from segwright.importers.description import (
    Description,
    Family,
    Renames,
    State,
    caffe_input,
    look_up,
    output_channels,
)
from segwright.models.backbones.hrnet import HRNetConfig
from segwright.models.backbones.mobilenet_v2 import MobileNetV2Config
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.backbones.vgg import VGGConfig
from segwright.models.fcn import FCNConfig
from segwright.models.layers.features import Backbone
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.segmenter import AuxiliaryHeadConfig
from segwright.models.pspnet import PSPNetConfig
from segwright.models.upernet import UPerNetConfig

MEAN_BGR = (102.9801, 115.9465, 122.7717)  # in versions before 1.0.0, which read images with OpenCV
NORM = Norm(momentum=0.001)

DEEPSUP: Renames = (
    (r"decoder\.cbr_deepsup\.", "auxiliary.0.hidden."),
    (r"decoder\.conv_last_deepsup\.", "auxiliary.0.classifier."),
)
C1: Renames = (
    (r"decoder\.cbr\.", "head.scorer.hidden."),
    (r"decoder\.conv_last\.", "head.scorer.classifier."),
    *DEEPSUP,
)
PPM: Renames = (
    (r"decoder\.(?:ppm|psp)\.(\d)\.1\.", r"head.pyramid.stages.\1.0."),
    (r"decoder\.(?:ppm|psp)\.(\d)\.2\.", r"head.pyramid.stages.\1.1."),
    (r"decoder\.conv_last\.([01])\.", r"head.bottleneck.\1."),
    (r"decoder\.conv_last\.4\.", "head.classifier."),
    *DEEPSUP,
)
UPERNET: Renames = (
    (r"decoder\.ppm_conv\.", "head.pyramid.stages."),
    (r"decoder\.ppm_last_conv\.", "head.top."),
    (r"decoder\.fpn_in\.", "head.lateral."),
    (r"decoder\.fpn_out\.(\d)\.0\.", r"head.smooth.\1."),
    (r"decoder\.conv_last\.0\.", "head.fuse."),
    (r"decoder\.conv_last\.1\.", "head.classifier."),
)
# CSAIL's MobileNetV2 is flat (conv.0, 1, 3, 4, 6, 7); in torchvision and here convolution and norm are nested.
MOBILENET: Renames = (
    (r"encoder\.features\.1\.conv\.([01])\.", r"backbone.features.1.conv.0.\1."),
    (r"encoder\.features\.1\.conv\.3\.", "backbone.features.1.conv.1."),
    (r"encoder\.features\.1\.conv\.4\.", "backbone.features.1.conv.2."),
    (r"encoder\.features\.(\d+)\.conv\.([01])\.", r"backbone.features.\1.conv.0.\2."),
    (r"encoder\.features\.(\d+)\.conv\.3\.", r"backbone.features.\1.conv.1.0."),
    (r"encoder\.features\.(\d+)\.conv\.4\.", r"backbone.features.\1.conv.1.1."),
    (r"encoder\.features\.(\d+)\.conv\.6\.", r"backbone.features.\1.conv.2."),
    (r"encoder\.features\.(\d+)\.conv\.7\.", r"backbone.features.\1.conv.3."),
)


def describe(architecture: str, state: State) -> Description:
    """The network of ``ENCODER+DECODER``, for example ``resnet50dilated+ppm_deepsup``."""
    if architecture.count("+") != 1:
        raise UserError(
            f"unknown csail architecture {architecture!r}; expected ENCODER+DECODER, such as resnet50dilated+c1"
        )
    encoder, decoder = architecture.lower().split("+")
    config, renames = _decoder(decoder, _encoder(encoder))
    old = bool(re.search(r"_dilated(8|16)$|^vgg", encoder)) or "bilinear" in decoder
    multiple = 8 if "dilated" in encoder else 32
    input = caffe_input(MEAN_BGR, multiple=multiple) if old else InputContract(multiple=multiple)
    last = {"ppm": ".4", "psp": ".4", "upe": ".1"}.get(decoder[:3], "")
    classes = output_channels(state, f"decoder.conv_last{last}.bias")
    table = (*MOBILENET, *renames) if encoder.startswith("mobilenet") else renames
    return Description(config, input, (*table, (r"encoder\.", "backbone.")), classes)


def _encoder(name: str) -> Backbone:
    """``resnet50`` (stride 32), ``resnet50dilated`` or ``resnet50_dilated8`` (8), ``resnet50_dilated16``."""
    parts = re.fullmatch(r"([a-z]+?)(v2|\d+)_?(dilated)?(8|16)?", name)
    if parts is None:
        raise UserError(f"unknown csail encoder {name!r}; expected one such as resnet50dilated")
    network, number, is_dilated, stride = parts.groups()
    output_stride: Any = int(stride or 8) if is_dilated else 32
    deep: dict[str, Any] = {
        "stem": "deep", "dilation": "half_first", "output_stride": output_stride, "norm": NORM,
    }  # fmt: skip
    if network == "resnet" and number in ("18", "34", "50", "101"):
        return ResNetConfig(int(number), **deep)
    if (network, number) == ("resnext", "101"):
        return ResNetConfig(101, groups=32, width_per_group=4, **deep)
    if (network, number) == ("mobilenet", "v2"):
        norm = NORM.then("relu6")
        return MobileNetV2Config(output_stride=output_stride, out_indices=(2, 4, 7, 14, 17), norm=norm)
    if (network, number) == ("hrnet", "v2"):
        return HRNetConfig(48)
    if network == "vgg" and number in ("16", "19"):
        return VGGConfig(int(number), output_stride=output_stride)
    raise UserError(
        f"unknown csail encoder {name!r}; expected resnet, resnext101, mobilenetv2, hrnetv2 or vgg"
    )


def _decoder(name: str, encoder: Backbone) -> tuple[ModelConfig, Renames]:
    plain = name.replace("_bilinear", "").replace("psp", "ppm")
    deepsup = plain.endswith("_deepsup")
    dropout = 0.1 if plain.startswith("ppm") else 0.0
    auxiliary = (AuxiliaryHeadConfig(dropout=dropout, norm=NORM, in_evaluation=True),) if deepsup else ()
    merge = isinstance(encoder, HRNetConfig)
    table: dict[str, tuple[ModelConfig, Renames]] = {
        "c1": (FCNConfig(encoder, dropout=0.0, merge_levels=merge, norm=NORM), C1),
        "c1_deepsup": (FCNConfig(encoder, dropout=0.0, norm=NORM, auxiliary=auxiliary), C1),
        "c5": (FCNConfig(encoder, hidden_ratio=0.0, dropout=0.0, merge_levels=merge, norm=NORM), C1),
        "ppm": (PSPNetConfig(encoder, merge_levels=merge, norm=NORM, auxiliary=()), PPM),
        "ppm_deepsup": (PSPNetConfig(encoder, norm=NORM, auxiliary=auxiliary), PPM),
        "upernet": (UPerNetConfig(encoder, norm=NORM), UPERNET),
        "upernet_lite": (UPerNetConfig(encoder, channels=256, norm=NORM), UPERNET),
    }
    return look_up(plain, table, "csail decoder")


FAMILY = Family(describe, parts=("encoder", "decoder"))
