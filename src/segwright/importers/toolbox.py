"""pytorch-segmentation-toolbox: PSPNet and DeepLabV3 on a deep-stem ResNet-101 with InPlace-ABN.

The branches ``master`` and ``pytorch-1.1`` activate inside the norm, with leaky ReLU in the heads. The branch ``apex``
has plain norms and ReLU modules, which change the index of the auxiliary head's classifier.
"""

from __future__ import annotations

from segwright.importers.description import (
    Description,
    Family,
    Renames,
    State,
    caffe_input,
    look_up,
    output_channels,
)
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.deeplab_v3 import DeepLabV3Config
from segwright.models.layers.aspp import ASPPConfig
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.segmenter import AuxiliaryHeadConfig
from segwright.models.pspnet import PSPNetConfig

SHARED: Renames = (
    (r"(conv|bn|layer)(?=\d)", r"backbone.\1"),
    (r"head\.1\.", "head.classifier."),
    (r"dsn\.([01])\.", r"auxiliary.0.hidden.\1."),
    (r"dsn\.[34]\.", "auxiliary.0.classifier."),
)
PSPNET: Renames = (
    (r"head\.0\.stages\.(\d)\.1\.", r"head.pyramid.stages.\1.0."),
    (r"head\.0\.stages\.(\d)\.2\.", r"head.pyramid.stages.\1.1."),
    (r"head\.0\.bottleneck\.", "head.bottleneck."),
)
DEEPLABV3: Renames = (
    (r"head\.0\.conv1\.1\.", "head.aspp.pooled.0."),
    (r"head\.0\.conv1\.2\.", "head.aspp.pooled.1."),
    (r"head\.0\.conv2\.", "head.aspp.branches.0."),
    (r"head\.0\.conv3\.", "head.aspp.branches.1."),
    (r"head\.0\.conv4\.", "head.aspp.branches.2."),
    (r"head\.0\.conv5\.", "head.aspp.branches.3."),
    (r"head\.0\.bottleneck\.", "head.aspp.project."),
)


def describe(architecture: str, state: State) -> Description:
    """The network of ``pspnet`` or ``deeplabv3``."""
    renames = look_up(architecture, {"pspnet": PSPNET, "deeplabv3": DEEPLABV3}, "toolbox architecture")
    backbone_norm, head_norm = Norm("inplace", activation="relu"), Norm("inplace", activation="leaky_relu")
    if "dsn.4.bias" in state:  # the apex branch
        backbone_norm = head_norm = Norm()
    depth = 101 if any(key.startswith("layer3.22.") for key in state) else 50
    backbone = ResNetConfig(
        depth, output_stride=8, dilation="all", stem="deep", ceil_mode=True, norm=backbone_norm
    )
    auxiliary = (
        (AuxiliaryHeadConfig(bias=True, norm=head_norm, in_evaluation=True),)
        if "dsn.0.weight" in state
        else ()
    )
    config: PSPNetConfig | DeepLabV3Config
    if architecture == "pspnet":
        config = PSPNetConfig(
            backbone, align_corners=True, pooled_first=True, norm=head_norm, auxiliary=auxiliary
        )
    else:
        atrous = ASPPConfig(out_channels=512, dropout=0.1, spatial_dropout=True, pooled_first=True)
        config = DeepLabV3Config(backbone, atrous, hidden_channels=0, norm=head_norm, auxiliary=auxiliary)
    classes = output_channels(state, "head.1.bias")
    return Description(config, caffe_input(), (*SHARED, *renames), classes)


FAMILY = Family(describe)
