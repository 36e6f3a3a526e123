"""S4, semantic-segmentation-tutorial: torchvision's DeepLabV3 and a plain UNet, with four norms."""

from __future__ import annotations

from segwright.contracts import InputContract
from segwright.importers.description import Description, Family, Renames, State, known, output_channels
from segwright.importers.torchvision import DEEPLABV3, dilated
from segwright.models.deeplab_v3 import DeepLabV3Config
from segwright.models.layers.norm_config import Norm
from segwright.models.unet import PlainUNetConfig

# Each level is conv, norm, ReLU, conv, norm, ReLU there (0, 1, 3, 4); here the activation is in the norm.
PLACES = ((0, 0), (1, 1), (3, 2), (4, 3))
UNET: Renames = (
    *((rf"inc\.conv\.conv\.{theirs}\.", f"down.0.{ours}.") for theirs, ours in PLACES),
    *((rf"down(\d)\.mpconv\.1\.conv\.{theirs}\.", rf"down.\1.{ours}.") for theirs, ours in PLACES),
    *(
        (rf"up{level + 1}\.conv\.conv\.{theirs}\.", f"up.{level}.{ours}.")
        for level in range(4)
        for theirs, ours in PLACES
    ),
    (r"outc\.conv\.", "head."),
)


def describe(architecture: str, state: State) -> Description:
    """The network of ``unet``, ``deeplabv3_resnet50`` or ``deeplabv3_resnet101``; the norm is read off the keys."""
    norm = norm_of(state)
    config, renames = known(
        architecture.lower(),
        {
            "unet": (PlainUNetConfig(norm=norm), UNET),
            "deeplabv3_resnet50": (DeepLabV3Config(dilated(50, norm), norm=norm), DEEPLABV3),
            "deeplabv3_resnet101": (DeepLabV3Config(dilated(101, norm), norm=norm), DEEPLABV3),
        },
        "tutorial",
    )
    input = InputContract(multiple=1)
    return Description(config, input, renames, output_channels(state, "classifier.4.bias", "outc.conv.bias"))


def norm_of(state: State) -> Norm:
    """Batch norm has running means, EvoNorm a gamma, group norm weights alone, instance norm nothing."""
    if any(key.endswith(".running_mean") for key in state):
        return Norm()
    if any(key.endswith(".gamma") for key in state):
        return Norm("evonorm_s0")
    return Norm("group") if any(key in state for key in GROUP_KEYS) else Norm("instance")


GROUP_KEYS = ("backbone.bn1.weight", "inc.conv.conv.1.weight")

FAMILY = Family(describe)
