"""MobileNetV2 (Sandler et al. 2018), dilated as in CSAIL; the keys of the state dict are those of torchvision."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.layers.conv import conv_norm
from segwright.models.layers.features import Features
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import norm_layer
from segwright.models.weights.pretrained import load_pretrained

# expansion, channels, blocks, stride
GROUPS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


@dataclass(slots=True)
class MobileNetV2Config:
    """Strides beyond ``output_stride`` are replaced by dilation.

    ``out_indices``: the blocks whose outputs are the feature maps; by default the last of each stride, as in
    panoptic-deeplab. CSAIL uses 2, 4, 7, 14, 17. A convolution that loses its stride keeps the dilation of its input
    (CSAIL). ``weights``: see ``segwright.models.backbones``.
    """

    weights: str | None = None
    output_stride: Literal[8, 16, 32] = 32
    out_indices: tuple[int, ...] = (1, 3, 6, 13, 17)
    norm: Norm = field(default_factory=lambda: Norm(activation="relu6"))

    def build(self, channels: int) -> MobileNetV2:
        """The network without its last 1x1 convolution."""
        network = MobileNetV2(self, channels)
        load_pretrained(network, self.weights, "mobilenet_v2")
        return network


class MobileNetV2(Features):
    """``features``: the stem (0) and the inverted residual blocks."""

    def __init__(self, config: MobileNetV2Config, channels: int) -> None:
        super().__init__()
        self.out_indices = config.out_indices
        self.features = nn.Sequential(conv_norm(channels, 32, 3, norm=config.norm, stride=2))
        in_channels, total_stride, dilation = 32, 2, 1
        sizes = [(32, 2)]
        for expansion, out_channels, count, group_stride in GROUPS:
            stride, before = group_stride, dilation
            if total_stride * stride > config.output_stride:
                stride, dilation = 1, dilation * stride
            total_stride *= stride
            for index in range(count):
                first = index == 0
                self.features.append(
                    InvertedResidual(
                        (in_channels, out_channels),
                        expansion,
                        config.norm,
                        stride=stride if first else 1,
                        dilation=before if first and group_stride == 2 else dilation,
                    )
                )
                in_channels = out_channels
                sizes.append((out_channels, total_stride))
        self.channels = tuple(sizes[index][0] for index in self.out_indices)
        self.strides = tuple(sizes[index][1] for index in self.out_indices)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, images: Float[Tensor, "images channels height width"]) -> list[Tensor]:
        """The feature maps after ``out_indices``, the finest first."""
        maps, x = [], images
        for index, block in enumerate(self.features):
            x = block(x)
            if index in self.out_indices:
                maps.append(x)
        return maps


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise 3x3, 1x1 projection, and a shortcut if the shape stays.

    ``channels``: of input and output.
    """

    def __init__(
        self, channels: tuple[int, int], expansion: int, norm: Norm, *, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        in_channels, out_channels = channels
        hidden = in_channels * expansion
        layers: list[nn.Module] = [conv_norm(in_channels, hidden, norm=norm)] if expansion > 1 else []
        depthwise = conv_norm(hidden, hidden, 3, norm=norm, stride=stride, dilation=dilation, groups=hidden)
        projection = nn.Conv2d(hidden, out_channels, 1, bias=False)
        norm_of_projection = norm_layer(norm.then("identity"), out_channels)
        self.conv = nn.Sequential(*layers, depthwise, projection, norm_of_projection)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, plus its input if both have the same shape."""
        residual: Tensor = self.conv(x)
        return x + residual if self.shortcut else residual
