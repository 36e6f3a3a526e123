"""S5, panoptic-deeplab: its semantic networks, DeepLabV3 and DeepLabV3+ on dilated ResNets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segwright.contracts import InputContract
from segwright.legacy.description import Description, Family, Renames, State, known, output_channels
from segwright.models.deeplab_v3 import DeepLabV3
from segwright.models.deeplab_v3plus import DeepLabV3Plus
from segwright.models.layers.aspp import Atrous
from segwright.models.layers.norm import Norm
from segwright.models.resnet import ResNet

NORM = Norm(momentum=0.01)
ASPP: Renames = (
    (r"decoder\.aspp\.convs\.4\.aspp_pooling\.1\.", "head.aspp.pooled.0."),
    (r"decoder\.aspp\.convs\.", "head.aspp.branches."),
    (r"decoder\.aspp\.project\.", "head.aspp.project."),
)
DEEPLABV3: Renames = (
    *ASPP,
    (r"decoder\.classifier\.([01])\.", r"head.hidden.\1."),
    (r"decoder\.classifier\.3\.", "head.classifier."),
)
# A separable convolution is (depthwise, norm), pointwise, norm there: 0.0, 0.1, 1, 2; here two pairs.
DEEPLABV3PLUS: Renames = (
    *ASPP,
    (r"decoder\.fuse\.([01])\.1\.", r"head.fuse.\1.1.0."),
    (r"decoder\.fuse\.([01])\.2\.", r"head.fuse.\1.1.1."),
    (r"decoder\.fuse\.", "head.fuse."),
    (r"decoder\.project\.", "head.project."),
    (r"decoder\.classifier\.", "head.classifier."),
)


def describe(
    architecture: str, state: State, *, dilation: Sequence[bool] = (False, False, True)
) -> Description:
    """The network of ``deeplabv3_resnet50``, ``deeplabv3plus_resnet101`` and so on.

    ``dilation`` of the last three stages, as in the ancestor's config: (F, F, T) is output stride 16.
    """
    reach: Any = 32 // 2 ** sum(dilation)
    atrous = Atrous(rates=(6, 12, 18), pooled="bare")
    table: dict[str, Any] = {}
    for depth in (50, 101):
        backbone = ResNet(depth, output_stride=reach, norm=NORM)
        table[f"deeplabv3_resnet{depth}"] = (DeepLabV3(backbone, atrous, norm=NORM), DEEPLABV3)
        plus = DeepLabV3Plus(backbone, atrous, align_corners=True, norm=NORM)
        table[f"deeplabv3plus_resnet{depth}"] = (plus, DEEPLABV3PLUS)
    config, renames = known(architecture, table, "panoptic-deeplab")
    classes = output_channels(state, "decoder.classifier.3.bias", "decoder.classifier.bias")
    return Description(config, InputContract(multiple=1), renames, classes)


FAMILY = Family(describe, options=("dilation",))
