"""Convolution with norm and activation, depthwise separable convolution, dropout, and the classifier head."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.layers.atrous import AtrousConv2d
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import norm_layer


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    *,
    norm: Norm,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Sequential:
    """Convolution (``0``), then norm and activation (``1``); padding keeps the size, divided by ``stride``."""
    conv: nn.Conv2d
    if kernel_size == 3 and dilation > 1 and stride == groups == 1:
        conv = AtrousConv2d(in_channels, out_channels, dilation, bias=bias)
    else:
        shape, padding = (in_channels, out_channels, kernel_size), dilation * (kernel_size // 2)
        conv = nn.Conv2d(*shape, stride, padding, dilation, groups=groups, bias=bias)
    return nn.Sequential(conv, norm_layer(norm, out_channels))


def separable_conv(
    in_channels: int, out_channels: int, kernel_size: int = 3, *, norm: Norm, dilation: int = 1
) -> nn.Sequential:
    """Depthwise (``0``) then pointwise (``1``) convolution, each with norm and activation (Chollet 2017)."""
    return nn.Sequential(
        conv_norm(in_channels, in_channels, kernel_size, norm=norm, dilation=dilation, groups=in_channels),
        conv_norm(in_channels, out_channels, norm=norm),
    )


def dropout_layer(probability: float, *, spatial: bool = True) -> nn.Module:
    """Spatial dropout (toolbox, CSAIL) or dropout of single values (torchvision, panoptic-deeplab)."""
    return nn.Dropout2d(probability) if spatial else nn.Dropout(probability)


class ClassifierHead(nn.Module):
    """A convolution with norm, dropout, and a 1x1 convolution to class logits.

    With ``hidden_channels`` 0 the first convolution is left out. This is the head of torchvision's FCN, CSAIL's C1 and
    the auxiliary head of all projects whose files ``segwright.importers`` reads.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        classes: int,
        *,
        norm: Norm,
        dropout: float = 0.0,
        spatial_dropout: bool = True,
        bias: bool = False,
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        self.hidden = nn.Sequential()
        if hidden_channels:
            self.hidden = conv_norm(in_channels, hidden_channels, kernel_size, norm=norm, bias=bias)
        self.dropout = dropout_layer(dropout, spatial=spatial_dropout)
        self.classifier = nn.Conv2d(hidden_channels or in_channels, classes, 1)

    def forward(self, x: Float[Tensor, "images c h w"]) -> Float[Tensor, "images classes h w"]:
        """Logits at the size of ``x``."""
        return self.classify(self.hidden(x))

    def classify(self, hidden: Float[Tensor, "images c h w"]) -> Float[Tensor, "images classes h w"]:
        """Logits from the output of the first convolution."""
        logits: Tensor = self.classifier(self.dropout(hidden))
        return logits


def initialize(head: nn.Module, *, std: float | None = None) -> None:
    """First weights: He et al. 2015 as in CSAIL, and N(0, 0.01) for classifiers as in Pytorch-Deeplab; biases 0.

    With ``std`` the weights of all convolutions are N(0, std) instead (panoptic-deeplab: 0.001).
    """
    for name, module in head.named_modules():
        if isinstance(module, nn.Conv2d):
            if std is not None or "classifier" in name:
                nn.init.normal_(module.weight, std=0.01 if std is None else std)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
