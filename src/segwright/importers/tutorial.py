"""The MiniCity tutorial (semantic-segmentation-tutorial-pytorch): torchvision's DeepLabV3, and a plain U-Net."""

from __future__ import annotations

from segwright.contracts import InputContract, ModelConfig
from segwright.importers.description import Description, Family, Renames, State, look_up, output_channels
from segwright.importers.torchvision import DEEPLABV3, dilated
from segwright.models.deeplab_v3 import DeepLabV3Config
from segwright.models.layers.norm_config import Norm
from segwright.models.unet import PlainUNetConfig

# (index in the tutorial, index here): its levels have ReLU modules (2, 5), those of segwright activate in the norm.
INDICES = ((0, 0), (1, 1), (3, 2), (4, 3))
UNET: Renames = (
    *((rf"inc\.conv\.conv\.{theirs}\.", f"down.0.{ours}.") for theirs, ours in INDICES),
    *((rf"down(\d)\.mpconv\.1\.conv\.{theirs}\.", rf"down.\1.{ours}.") for theirs, ours in INDICES),
    *(
        (rf"up{level + 1}\.conv\.conv\.{theirs}\.", f"up.{level}.{ours}.")
        for level in range(4)
        for theirs, ours in INDICES
    ),
    (r"outc\.conv\.", "head."),
)


def describe(architecture: str, state: State) -> Description:
    """The network of ``unet``, ``deeplabv3_resnet50`` or ``deeplabv3_resnet101``; the keys determine the norm."""
    norm = norm_of(state)
    table: dict[str, tuple[ModelConfig, Renames]] = {
        "unet": (PlainUNetConfig(norm=norm), UNET),
        "deeplabv3_resnet50": (DeepLabV3Config(dilated(50, norm), norm=norm), DEEPLABV3),
        "deeplabv3_resnet101": (DeepLabV3Config(dilated(101, norm), norm=norm), DEEPLABV3),
    }
    config, renames = look_up(architecture.lower(), table, "tutorial architecture")
    input = InputContract(multiple=1)
    return Description(config, input, renames, output_channels(state, "classifier.4.bias", "outc.conv.bias"))


def norm_of(state: State) -> Norm:
    """Batch norm has running means, EvoNorm has gamma, group norm has only weights, instance norm has no keys."""
    if any(key.endswith(".running_mean") for key in state):
        return Norm()
    if any(key.endswith(".gamma") for key in state):
        return Norm("evonorm_s0")
    return Norm("group") if any(key in state for key in GROUP_KEYS) else Norm("instance")


GROUP_KEYS = ("backbone.bn1.weight", "inc.conv.conv.1.weight")

FAMILY = Family(describe)
