"""segmentation_models_pytorch (smp): its DeepLabV3 on ResNets.

Its other networks differ from those of segwright. Unet upsamples by nearest neighbors and has one more step, UPerNet
has layer norms, PSPNet a 1x1 bottleneck, and DeepLabV3+ no norm inside its separable convolutions. To evaluate such a
model or to predict with it, use ``segwright.wrap``.
"""

from __future__ import annotations

from typing import Any, Literal

from segwright.contracts import InputContract
from segwright.importers.description import Description, Family, Renames, State, look_up, output_channels
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.deeplab_v3 import DeepLabV3Config

# In versions before 0.4 the decoder was a sequence with the indices 0, 1 and 2.
RENAMES: Renames = (
    (r"encoder\.", "backbone."),
    (r"decoder\.(?:aspp|0)\.convs\.4\.1\.", "head.aspp.pooled.0."),
    (r"decoder\.(?:aspp|0)\.convs\.4\.2\.", "head.aspp.pooled.1."),
    (r"decoder\.(?:aspp|0)\.convs\.", "head.aspp.branches."),
    (r"decoder\.(?:aspp|0)\.project\.", "head.aspp.project."),
    (r"decoder\.(?:conv|1)\.", "head.hidden.0."),
    (r"decoder\.(?:bn|2)\.", "head.hidden.1."),
    (r"segmentation_head\.0\.", "head.classifier."),
)
ENCODERS: dict[str, dict[str, int]] = {
    **{f"resnet{depth}": {"depth": depth} for depth in (18, 34, 50, 101, 152)},
    "resnext50_32x4d": {"depth": 50, "groups": 32, "width_per_group": 4},
    "resnext101_32x8d": {"depth": 101, "groups": 32, "width_per_group": 8},
}


def describe(architecture: str, state: State, *, output_stride: Literal[8, 16] = 8) -> Description:
    """The network of ``deeplabv3_ENCODER``; ``output_stride`` is smp's ``encoder_output_stride``."""
    table: dict[str, Any] = {f"deeplabv3_{name}": sizes for name, sizes in ENCODERS.items()}
    sizes = look_up(architecture.lower(), table, "smp architecture")
    config = DeepLabV3Config(ResNetConfig(**sizes, output_stride=output_stride, dilation="all"))
    return Description(config, InputContract(), RENAMES, output_channels(state, "segmentation_head.0.bias"))


FAMILY = Family(describe, prefixes=("module.", "model."), options=("output_stride",))
