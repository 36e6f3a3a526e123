"""A light feature pyramid (Lin et al. 2017) with global context, and the sub-pixel heads (Shi et al. 2016) on it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from segwright.contracts import CenterOutput
from segwright.models.layers.centers import in_fp32
from segwright.models.layers.resize import upsample


class ConvNorm(nn.Sequential):
    """Convolution without bias, then batch norm."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int = 3, stride: int = 1) -> None:
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(out_channels))


class FeaturePyramid(nn.Module):
    """Sums feature maps from coarse to fine. The mean of the coarsest map is added to it as global context."""

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.context = nn.Conv2d(in_channels[-1], channels, 1)
        self.lateral = nn.ModuleList(ConvNorm(count, channels, kernel_size=1) for count in in_channels)
        self.fuse = nn.ModuleList(
            nn.Sequential(ConvNorm(channels, channels), nn.ReLU(inplace=True)) for _ in in_channels[:-1]
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps [N, channels, h, w], the coarsest first, without that of the coarsest input; ``maps``: finest first."""
        context = self.context(maps[-1].mean((2, 3), keepdim=True))
        decoded = [F.relu(self.lateral[-1](maps[-1]) + context)]
        for level in range(len(maps) - 2, -1, -1):
            lateral = self.lateral[level](maps[level])
            decoded.append(self.fuse[level](lateral + upsample(decoded[-1], lateral.shape[2:])))
        return decoded[1:]


def sub_pixel_head(in_channels: int, out_channels: int, factor: int) -> nn.Sequential:
    """A 1x1 convolution to ``factor`` times the resolution of its input (sub-pixel convolution, Shi et al. 2016)."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels * factor**2, 1), nn.PixelShuffle(factor))


def center_branch(in_channels: int, channels: int) -> nn.Sequential:
    """The two convolutions between the pyramid and the heads for centers, offsets and foreground."""
    return nn.Sequential(
        ConvNorm(in_channels, channels), nn.ReLU(inplace=True),
        ConvNorm(channels, channels), nn.ReLU(inplace=True),
    )  # fmt: skip


def center_heads(
    in_channels: int, branch_channels: int, classes: int, factor: int, *, foreground: bool
) -> nn.ModuleDict:
    """The heads "semantic" (on the pyramid), "center", "offset" and, if asked, "foreground" (on the branch)."""
    heads = {
        "semantic": sub_pixel_head(in_channels, classes, factor),
        "center": sub_pixel_head(branch_channels, 1, factor),
        "offset": sub_pixel_head(branch_channels, 2, factor),
    }
    if foreground:
        heads["foreground"] = sub_pixel_head(branch_channels, 1, factor)
    return nn.ModuleDict(heads)


def center_output(
    features: Tensor, branch: nn.Module, heads: nn.ModuleDict, offset_scale: float
) -> CenterOutput:
    """The output of ``center_heads`` on the finest map of the pyramid; offsets are multiplied by ``offset_scale``."""
    instance = branch(features)
    return CenterOutput(
        heads["semantic"](features),
        in_fp32(heads["center"], instance),
        in_fp32(heads["offset"], instance) * offset_scale,
        heads["foreground"](instance) if "foreground" in heads else None,
    )


def initialize_classifier(conv: nn.Module) -> None:
    """Weights ~ N(0, 0.01) for a last convolution: at first all its logits are near zero."""
    assert isinstance(conv, nn.Conv2d)
    nn.init.normal_(conv.weight, std=0.01)


def initialize_convolution(module: nn.Module) -> None:
    """He et al. 2015 for a convolution, with bias 0; other modules stay as they are."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
