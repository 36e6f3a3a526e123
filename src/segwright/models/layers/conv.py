"""Convolutions with their norm and activation, and what stands between them and a class score."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from segwright.models.layers.atrous import AtrousConv2d
from segwright.models.layers.norm_config import Norm
from segwright.models.layers.norm_layers import norm_layer


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    *,
    norm: Norm,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Sequential:
    """Convolution (``0``) that keeps the size but for its stride, then norm and activation (``1``)."""
    conv: nn.Conv2d
    if kernel == 3 and dilation > 1 and stride == groups == 1:
        conv = AtrousConv2d(inputs, outputs, dilation, bias=bias)
    else:
        padding = dilation * (kernel // 2)
        conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups=groups, bias=bias)
    return nn.Sequential(conv, norm_layer(norm, outputs))


def separable_conv(
    inputs: int, outputs: int, kernel: int = 3, *, norm: Norm, dilation: int = 1
) -> nn.Sequential:
    """Depthwise (``0``) then pointwise (``1``) convolution, each with norm and activation (Chollet 2017)."""
    return nn.Sequential(
        conv_norm(inputs, inputs, kernel, norm=norm, dilation=dilation, groups=inputs),
        conv_norm(inputs, outputs, norm=norm),
    )


def dropout(rate: float, *, whole_maps: bool = True) -> nn.Module:
    """Dropout of whole feature maps (S1, S2) or of single values (torchvision, S4, S5)."""
    return nn.Dropout2d(rate) if whole_maps else nn.Dropout(rate)


class ClassifierHead(nn.Module):
    """One convolution with norm, dropout, then a 1x1 convolution to class scores; all but the last may lack.

    It is FCN's head in torchvision, C1 in S2 and every ancestor's auxiliary head.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        classes: int,
        *,
        norm: Norm,
        rate: float = 0.0,
        whole_maps: bool = True,
        bias: bool = False,
        kernel: int = 3,
    ) -> None:
        super().__init__()
        self.hidden = conv_norm(inputs, hidden, kernel, norm=norm, bias=bias) if hidden else nn.Sequential()
        self.dropout = dropout(rate, whole_maps=whole_maps)
        self.classifier = nn.Conv2d(hidden or inputs, classes, 1)

    def forward(self, x: Float[Tensor, "images c h w"]) -> Float[Tensor, "images classes h w"]:
        """Scores at the size of ``x``."""
        return self.score(self.hidden(x))

    def score(self, hidden: Float[Tensor, "images c h w"]) -> Float[Tensor, "images classes h w"]:
        """The scores of what the first convolution gave."""
        scores: Tensor = self.classifier(self.dropout(hidden))
        return scores


def initialize(head: nn.Module, *, std: float | None = None) -> None:
    """He et al. 2015 for hidden convolutions as in S2; classifiers begin undecided, N(0, 0.01) as in S3.

    With ``std`` all of them are N(0, std) instead: S5 has 0.001.
    """
    for name, module in head.named_modules():
        if isinstance(module, nn.Conv2d):
            if std is not None or "classifier" in name:
                nn.init.normal_(module.weight, std=0.01 if std is None else std)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
