"""torchvision's DeepLabV3 and FCN on ResNet-50 and 101; the MiniCity tutorial uses the same DeepLabV3."""

from __future__ import annotations

from segwright.contracts import InputContract, ModelConfig
from segwright.importers.description import Description, Family, Renames, State, look_up, output_channels
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.deeplab_v3 import DeepLabV3Config
from segwright.models.fcn import FCNConfig
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.segmenter import AuxiliaryHeadConfig

AUXILIARY: Renames = (
    (r"aux_classifier\.([01])\.", r"auxiliary.0.hidden.\1."),
    (r"aux_classifier\.4\.", "auxiliary.0.classifier."),
)
DEEPLABV3: Renames = (
    (r"classifier\.0\.convs\.4\.1\.", "head.aspp.pooled.0."),
    (r"classifier\.0\.convs\.4\.2\.", "head.aspp.pooled.1."),
    (r"classifier\.0\.convs\.", "head.aspp.branches."),
    (r"classifier\.0\.project\.", "head.aspp.project."),
    (r"classifier\.1\.", "head.hidden.0."),
    (r"classifier\.2\.", "head.hidden.1."),
    (r"classifier\.4\.", "head.classifier."),
    *AUXILIARY,
)
FCN_RENAMES: Renames = (
    (r"classifier\.([01])\.", r"head.scorer.hidden.\1."),
    (r"classifier\.4\.", "head.scorer.classifier."),
    *AUXILIARY,
)


def dilated(depth: int, norm: Norm | None = None) -> ResNetConfig:
    """The backbone of torchvision's segmentation networks: a ResNet with output stride 8."""
    return ResNetConfig(depth, output_stride=8, norm=norm or Norm())


def describe(architecture: str, state: State) -> Description:
    """The network of ``deeplabv3_resnet50``, ``fcn_resnet101`` and so on, with the auxiliary head that the file has."""
    head = AuxiliaryHeadConfig(hidden_ratio=0.25, spatial_dropout=False, in_evaluation=True)
    auxiliary = (head,) if "aux_classifier.4.bias" in state else ()
    table: dict[str, tuple[ModelConfig, Renames]] = {
        "deeplabv3_resnet50": (DeepLabV3Config(dilated(50), auxiliary=auxiliary), DEEPLABV3),
        "deeplabv3_resnet101": (DeepLabV3Config(dilated(101), auxiliary=auxiliary), DEEPLABV3),
        "fcn_resnet50": (FCNConfig(dilated(50), auxiliary=auxiliary), FCN_RENAMES),
        "fcn_resnet101": (FCNConfig(dilated(101), auxiliary=auxiliary), FCN_RENAMES),
    }
    config, renames = look_up(architecture, table, "torchvision architecture")
    return Description(config, InputContract(), renames, output_channels(state, "classifier.4.bias"))


FAMILY = Family(describe)
